"""Predictions: tables of scores, ours and anybody's, to aligned arrays."""
