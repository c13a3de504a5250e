"""Sets: published data sets as an index with our findings."""
