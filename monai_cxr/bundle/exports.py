"""Exports: the forms of its network that a bundle holds beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai_cxr.atomic import write_json
from monai_cxr.bundle.digests import EXPORTS_NAME
from monai_cxr.errors import InvalidBundle


@dataclass(frozen=True, slots=True)
class Parity:
    """How near an exported network is to the one it was made of, on the same films.

    Attributes:
        films: Where they came from: ``"phantom"`` or ``"given"``.
        n_films: How many.
        max_logit_change: Largest absolute change of a logit.
        max_probability_change: Largest absolute change of a calibrated probability.
        mean_probability_change: Mean absolute change over films and findings.
        macro_auroc: Of the fp32 network, mean over the findings that have both labels; None
            without labels.
        macro_auroc_export: Macro AUROC of the exported network, over the same findings.
        n_findings: How many findings these are.
    """

    films: str
    n_films: int
    max_logit_change: float
    max_probability_change: float
    mean_probability_change: float
    macro_auroc: float | None = None
    macro_auroc_export: float | None = None
    n_findings: int = 0

    @property
    def auroc_change(self) -> float | None:
        """Absolute change of the macro AUROC; None without labels."""
        if self.macro_auroc is None or self.macro_auroc_export is None:
            return None
        return abs(self.macro_auroc_export - self.macro_auroc)


@dataclass(frozen=True, slots=True)
class Export:
    """One exported form.

    Attributes:
        format: ``"torchscript"``, ``"onnx"`` or ``"openvino"``, the engine that runs it.
        precision: One of :data:`monai_cxr.bundle.engines.runtime.PRECISIONS`.
        files: Paths relative to the bundle, the one to open first.
        model_digest: Digest of the model from which it was made.
        parity: Measured when it was made.
    """

    format: str
    precision: str
    files: tuple[str, ...]
    model_digest: str
    parity: Parity

    @property
    def name(self) -> str:
        """As ``--runtime`` takes it."""
        return self.format if self.precision == "fp32" else f"{self.format}-{self.precision}"


def read_exports(bundle: Path) -> tuple[Export, ...]:
    """The exports of a bundle; none where it has no list of them.

    Raises:
        InvalidBundle: If the list is damaged.
    """
    path = bundle / EXPORTS_NAME
    if not path.is_file():
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["exports"]
        return tuple(_export(entry) for entry in entries)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidBundle(
            f"The {EXPORTS_NAME} of bundle '{bundle.name}' is damaged ({type(error).__name__}). "
            "Export again."
        ) from error


def write_exports(bundle: Path, exports: Sequence[Export]) -> None:
    """Write the list, whole or not at all."""
    write_json(bundle / EXPORTS_NAME, {"exports": [asdict(export) for export in exports]})


def _export(entry: Mapping[str, Any]) -> Export:
    files = tuple(str(name) for name in entry["files"])
    if not files or any(".." in Path(name).parts or Path(name).is_absolute() for name in files):
        raise ValueError("expected files inside the bundle")
    parity = Parity(**entry["parity"])
    return Export(
        str(entry["format"]), str(entry["precision"]), files, str(entry["model_digest"]), parity
    )
