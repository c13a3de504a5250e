"""Bundles and their exports."""

from bundle_fixtures import exported_bundle, other_bundle, own_cache

__all__ = ["exported_bundle", "other_bundle", "own_cache"]
