"""Views: one page a file; they read, call and draw, and compute nothing."""
