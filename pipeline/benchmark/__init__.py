"""Side by side, in one run of a command: what a step costs, and what exporters to ONNX make.

Costs are ratios of times, and are never tested.
"""
