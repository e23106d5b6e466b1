"""Training: batches in, weights and scores out."""
