"""Deidentified: films for research that name nobody (PS3.15)."""
