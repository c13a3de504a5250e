"""Bundles and their exports; one phantom film, from which odd files are made."""

import numpy as np
import pytest
from bundle_fixtures import exported_bundle, other_bundle, own_cache

from monai_cxr.phantom.film import render_film
from monai_cxr.phantom.settings import PhantomSettings

__all__ = ["exported_bundle", "other_bundle", "own_cache"]


@pytest.fixture(scope="module")
def gray():
    return render_film(PhantomSettings(size=192, seed=3), patient=1).pixels


@pytest.fixture(scope="module")
def stored(gray):
    """12 bits, rows and columns even."""
    return np.round(gray * 4095).astype(np.uint16)
