"""Training: losses, metrics, checkpoints and the verb that runs a bundle's train config."""
