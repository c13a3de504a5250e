"""Explaining: where in the film a score came from."""
