"""Calibration: scores to probabilities that mean what they say."""
