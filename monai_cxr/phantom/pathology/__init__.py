"""Pathology: what disease adds to a phantom body, and what it alters, finding by finding."""
