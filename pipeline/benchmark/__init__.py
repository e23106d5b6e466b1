"""Benchmarks: the time of a step, measured side by side in one run; no test depends on it."""
