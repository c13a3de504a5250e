"""Monitoring: whether films, scores and readers are still what they were; never torch."""
