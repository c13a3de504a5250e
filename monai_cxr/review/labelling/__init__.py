"""Labels that readers audit: the questions, the answers, how far they are."""
