"""Evaluation: numbers about predictions, from arrays and tables; never torch."""
