"""Training: windows are cut from the data, a loop takes steps, and weights and scores come out.

Scores stand beside baselines: persistence, the season before, and n-grams.
"""
