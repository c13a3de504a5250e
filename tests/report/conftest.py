"""Tables of predictions."""

from evaluation_fixtures import nih_labels, predictions, published, table

__all__ = ["nih_labels", "predictions", "published", "table"]
