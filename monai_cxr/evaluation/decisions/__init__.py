"""Decisions: thresholds and conformal rules, and the patients they were chosen on."""
