"""Working: a film from the spool to its results."""
