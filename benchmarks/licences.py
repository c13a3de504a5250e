"""Licences and bill of materials of an installation: what `pip install monai-cxr` brings along.

    python benchmarks/licences.py [--extra NAME ...] [--sbom sbom.json]

Prints a line a package and ends with 1 if a package is under the GPL or AGPL alone, or says nothing
of its licence. ``--sbom`` writes CycloneDX 1.5. Reads what is installed; asks no server.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = "monai-cxr"
STATED = {  # of these the metadata say nothing; read in their files LICENSE
    "cuda-toolkit": "none of its own: it holds no file, and names NVIDIA's packages",
    "huey": "MIT",
    "skops": "MIT",
}
_COPYLEFT = re.compile(r"\b(?:A?GPL|(?:Affero )?General Public)", re.IGNORECASE)
_LESSER = re.compile(r"\bLGPL|Lesser General", re.IGNORECASE)


def closure(
    root: str, extras: Sequence[str] = ()
) -> dict[str, importlib.metadata.Distribution | None]:
    """Every package that a package needs here, by canonical name; None where it is absent."""
    found: dict[str, importlib.metadata.Distribution | None] = {}
    waiting = [(root, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        key = (canonicalize_name(name), wanted)
        if key in seen:
            continue
        seen.add(key)
        try:
            found[key[0]] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            found[key[0]] = None
            continue
        for line in importlib.metadata.distribution(name).requires or ():
            needed = Requirement(line)
            if _applies(needed, wanted):
                waiting.append((needed.name, frozenset(needed.extras)))
    return dict(sorted(found.items()))


def licence(distribution: importlib.metadata.Distribution) -> str:
    """A package's licence in a line, from its expression, its classifiers or its free text."""
    metadata = distribution.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classified = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or ()
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    free = (metadata.get("License") or "").strip().splitlines()
    stated = STATED.get(canonicalize_name(metadata["Name"]), "")
    return " or ".join(classified) or stated or (free[0][:60] if free else "") or "not stated"


def doubtful(text: str) -> bool:
    """Whether a licence is the GPL or the AGPL without a choice, or none at all."""
    choices = re.split(r"\bor\b", text, flags=re.IGNORECASE)
    return text == "not stated" or all(
        _COPYLEFT.search(_LESSER.sub("", one)) and "exception" not in one.lower() for one in choices
    )


def bill(rows: Iterator[tuple[str, str, str]]) -> dict[str, object]:
    """CycloneDX 1.5 of names, versions and licences."""
    components = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "licenses": [{"license": {"name": text}}],
        }
        for name, version, text in rows
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": ROOT}},
        "components": components,
    }


def _applies(needed: Requirement, extras: frozenset[str]) -> bool:
    if needed.marker is None:
        return True
    return any(needed.marker.evaluate({"extra": extra}) for extra in (extras or {""}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--sbom", type=Path)
    options = parser.parse_args()
    packages = closure(ROOT, options.extra)
    absent = [name for name, found in packages.items() if found is None]
    rows = [(name, found.version, licence(found)) for name, found in packages.items() if found]
    for name, version, text in rows:
        print(f"{name:28} {version:16} {text}")
    wrong = [name for name, _, text in rows if doubtful(text)]
    print(f"{len(rows)} packages; not installed here: {', '.join(absent) or 'none'}")
    print(f"GPL, AGPL or not stated: {', '.join(wrong) or 'none'}")
    if options.sbom:
        options.sbom.write_text(json.dumps(bill(iter(rows)), indent=2) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
