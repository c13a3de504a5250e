"""Learning from little: a linear head on the frozen features of a bundle."""
