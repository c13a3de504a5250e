"""Lifecycle: how a model changes, by plan, attempt, gate, registry, and the way back."""
