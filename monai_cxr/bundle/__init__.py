"""Bundle: a trained model as one thing."""
