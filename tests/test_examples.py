"""Examples in docstrings run: every public name has one, and each module's are tried."""

from __future__ import annotations

import doctest
import importlib
import inspect
import shutil
from pathlib import Path

import pandas as pd
import pytest

import monai_cxr

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = [
    name
    for name in monai_cxr.__all__
    if inspect.isroutine(value := getattr(monai_cxr, name))
    or (inspect.isclass(value) and not issubclass(value, Exception))
]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "monai_cxr").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8") and "_bundles" not in path.parts
]


@pytest.fixture(scope="module")
def folder(packaged_bundle, phantom_index, tmp_path_factory):
    """What the examples name: a bundle and a film."""
    here = tmp_path_factory.mktemp("examples")
    shutil.copytree(packaged_bundle, here / "demo" / "bundle")
    shutil.copy(pd.read_parquet(phantom_index.path)["path"].iloc[0], here / "film.dcm")
    return here


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_shows_an_example(name):
    assert ">>> " in (inspect.getdoc(getattr(monai_cxr, name)) or "")


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
