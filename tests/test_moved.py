"""Moved: what a script of version 0.1.0 imports is found, with a warning that says where it is."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import pytest

from monai_cxr.moved import MOVED

OF_A_MODULE_THAT_BECAME_A_FOLDER = [
    ("monai_cxr.evaluation.predictions", "PredictionSet"),
    ("monai_cxr.evaluation.predictions", "load_predictions"),
    ("monai_cxr.evaluation.calibration", "read_calibrator"),
    ("monai_cxr.screening.settings", "read_settings"),
    ("monai_cxr.bundle.engines", "open_export"),
]


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_module_is_the_new_one(old):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=MOVED[old]):
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__spec__.name == module.__name__ == MOVED[old]
    sys.modules.pop(old)


def test_no_old_name_is_that_of_a_module():
    program = (
        "import sys, importlib.util, monai_cxr.moved as m\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != '_Moved']\n"
        "def there(n):\n"
        "    try: return importlib.util.find_spec(n) is not None\n"
        "    except ModuleNotFoundError: return False\n"
        "print([n for n in m.MOVED if there(n)], [n for n in m.MOVED.values() if not there(n)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[] []", done.stderr


@pytest.mark.parametrize(("package", "name"), OF_A_MODULE_THAT_BECAME_A_FOLDER)
def test_names_of_a_module_that_became_a_folder(package, name):
    with pytest.warns(DeprecationWarning, match=f"{package}.{name}"):
        found = getattr(importlib.import_module(package), name)
    assert found.__module__.startswith(package)
    assert pickle.loads(pickle.dumps(found)) is found


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("monai_cxr.screening.nothing_of_the_kind")
    with pytest.raises(ImportError):
        exec("from monai_cxr.evaluation.predictions import NothingOfTheKind")
