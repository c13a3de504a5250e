"""Data: from a data set on disk to batches."""
