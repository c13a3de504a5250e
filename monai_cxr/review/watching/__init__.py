"""Watching: what the pages of a running service say of it, week by week and model by model."""
