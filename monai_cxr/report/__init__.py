"""Report: pages, plots and model cards that say what was measured."""
