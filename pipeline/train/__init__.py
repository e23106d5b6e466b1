"""Training: from batches of data to weights and scores."""
