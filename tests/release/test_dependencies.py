"""Every package that the code imports is one that the package declares."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {
    **{"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn"},
    **{"dicomanonymizer": "dicom-anonymizer", "fhir": "fhir.resources", "openjpeg": "pydicom"},
    **{"dicomweb_client": "dicomweb-client", "kornia_rs": "kornia-rs", "ignite": "monai"},
    **{"prometheus_client": "prometheus-client", "starlette": "streamlit"},
    **{"requests": "dicomweb-client", "urllib3": "dicomweb-client"},
}
"""The distribution of a module whose name is another, or that comes with an extra of another."""


def imported() -> dict[str, str]:
    """A file that imports it, by the top of each module's name."""
    found: dict[str, str] = {}
    for folder in ("monai_cxr", "clinical_app"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                    names = [a.value for a in node.args if isinstance(a, ast.Constant)]
                for name in names:
                    found.setdefault(name.partition(".")[0], str(path.relative_to(ROOT)))
    return found


def test_what_is_imported_is_declared():
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    declared = {re.split(r"[\[<>=; ]", line)[0] for group in groups for line in group}
    own = {*sys.stdlib_module_names, "monai_cxr", "clinical_app"}
    missing = {
        name: place
        for name, place in imported().items()
        if name not in own and DISTRIBUTIONS.get(name, name) not in declared
    }
    assert missing == {}
