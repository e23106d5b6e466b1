"""What a step costs, side by side in one run, as ratios; these numbers are never tested."""
