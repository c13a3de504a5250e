"""Bench: what a machine does with a model, engine by engine."""
