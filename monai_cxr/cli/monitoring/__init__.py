"""Verbs that watch a model for years."""
