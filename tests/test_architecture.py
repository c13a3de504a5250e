"""The house: imports go down, light parts stay light, files stay readable."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from monai_cxr.cli.verbs import VERBS, _built

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "monai_cxr"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_bundles" not in path.parts)


def test_import_contract():
    """In a process of its own: import-linter's set-up of logging disables the loggers it finds."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "setup.cfg"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import monai_cxr",
        "from monai_cxr import read_radiograph, FINDINGS, Radiograph",
        "import monai_cxr.cli",
        "import monai_cxr.evaluation.performance, monai_cxr.report.files",
        "import monai_cxr.phantom, monai_cxr.preprocessing",
        "import monai_cxr.bundle.ensemble, monai_cxr.bundle.inference",  # an export needs no torch
    ],
)
def test_without_torch(code):
    heavy = "{'torch', 'monai', 'torchvision', 'torchxrayvision', 'ignite', 'streamlit'}"
    check = f"{code}\nimport sys\nprint(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_without_torch():
    check = (
        "import sys\nfrom monai_cxr.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('HEAVY', sorted({'torch', 'monai'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    assert "evaluate" in done.stdout


def test_every_verb_has_its_modules():
    """What registers a verb is named in VERBS, and registers no verb that is not."""
    by_modules: dict[str, set[str]] = {}
    for verb, modules in VERBS.items():
        by_modules.setdefault(modules, set()).add(verb)
    for modules, verbs in by_modules.items():
        assert set(_built(modules)) == verbs
    named = {part for modules in by_modules for part in modules.split()}
    registering = {
        ".".join(path.relative_to(PACKAGE / "cli").with_suffix("").parts)
        for path in (PACKAGE / "cli").rglob("*.py")
        if "\ndef register(" in path.read_text(encoding="utf-8")
    }
    rooms = tuple(f"{name}." for name in ("labels", "screen"))  # their packages register all
    assert {name.removesuffix(".__init__") for name in registering} == named | {
        name for name in registering if name.startswith(rooms) and not name.endswith("__init__")
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
class TestFiles:
    def test_opens_with_a_docstring(self, path):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    def test_is_short_enough_to_read(self, path):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 420

    def test_is_named_by_a_concept(self, path):
        assert path.stem not in ("utils", "helpers", "common", "misc")


def test_one_name_means_one_class():
    """Also across the wings: see "Words" in docs/explanation/architecture.md."""
    places: dict[str, list[str]] = {}
    for path in [*MODULES, *(ROOT / "clinical_app").rglob("*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_wide_excepts_stand_at_the_last_boundaries_only():
    wide = [
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert set(wide) == {
        "cli/__init__.py",
        "screening/delivering/delivery.py",  # one object must not stop the others
        "screening/working/outcomes.py",  # one film must not stop the others
    }
