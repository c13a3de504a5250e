"""The public surface: sorted, documented, importable."""

from __future__ import annotations

import inspect

import pytest

import monai_cxr


def test_names_are_sorted_and_unique():
    names = [name for name in monai_cxr.__all__ if not name.startswith("__")]
    assert len(set(names)) == len(names)
    assert dir(monai_cxr) == sorted(monai_cxr.__all__)


@pytest.mark.parametrize("name", [n for n in monai_cxr.__all__ if n != "__version__"])
def test_every_name_resolves_and_is_documented(name):
    value = getattr(monai_cxr, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = monai_cxr.nothing


def test_errors_say_whether_a_retry_helps():
    assert issubclass(monai_cxr.UnreadableImage, monai_cxr.InputError)
    assert issubclass(monai_cxr.InputError, ValueError)
    assert issubclass(monai_cxr.NotCalibrated, monai_cxr.BundleError)
    assert issubclass(monai_cxr.MissingDependency, ImportError)
    assert not issubclass(monai_cxr.DeliveryError, monai_cxr.InputError)
    assert monai_cxr.UnsupportedImage("x").reason == "unsupported"
    assert monai_cxr.UnsupportedImage("x", reason="lateral").reason == "lateral"


def test_missing_package_names_its_extra():
    from monai_cxr.optional import require

    assert require("json", extra="none") is __import__("json")
    with pytest.raises(monai_cxr.MissingDependency, match=r"pip install 'monai-cxr\[pacs\]'"):
        require("not_a_package_at_all", extra="pacs")
