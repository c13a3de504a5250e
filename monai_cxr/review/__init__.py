"""Review: what a reader works on (cases, their meaning in words, opinions), free of any screen."""
