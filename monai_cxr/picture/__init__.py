"""Picture: what can be said of any gray picture, whatever file it came in."""
