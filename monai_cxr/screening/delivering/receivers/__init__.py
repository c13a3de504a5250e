"""Receivers: one file for each kind of destination that results are sent to."""
