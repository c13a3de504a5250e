"""What is released is tried on an exported bundle."""

from bundle_fixtures import exported_bundle

__all__ = ["exported_bundle"]
