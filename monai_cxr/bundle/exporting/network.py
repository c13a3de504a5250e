"""Export: a bundle's network in another engine's format, kept only where it says the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from monai_cxr.bundle.config import find_bundle, read_config
from monai_cxr.bundle.digests import check_digests, model_digest, write_digests
from monai_cxr.bundle.engines.by_name import open_export
from monai_cxr.bundle.engines.parity import measure_parity, require_parity
from monai_cxr.bundle.engines.torch_engine import open_torch
from monai_cxr.bundle.exporting.films import ExportFilms, given_films, phantom_films
from monai_cxr.bundle.exporting.formats import check_format, file_names, write_network
from monai_cxr.bundle.exporting.onnx_metadata import facts_of, write_facts
from monai_cxr.bundle.exports import Export, Parity, read_exports, write_exports
from monai_cxr.bundle.model import BundleModel
from monai_cxr.evaluation.statistics.logits import sigmoid

Progress = Callable[[int, int], None]

_PHANTOMS = {"fp32": (1, 24), "int8": (64, 160)}
_PHANTOMS_OTHERWISE = (1, 160)
_NO_PARITY = Parity("", 0, 0.0, 0.0, 0.0)


def export(
    name: Path | str,
    format_name: str,
    precision: str = "fp32",
    *,
    films: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Export:
    """Write a bundle's network in another format into the bundle, with its digest.

    The exported network is opened by its engine and compared with the fp32 network of torch on the
    same films. One that differs by more than the limits of :mod:`monai_cxr.bundle.engines.parity`
    is refused, and the bundle stays as it was.

    Args:
        name: A packaged bundle.
        format_name: ``"torchscript"``, ``"onnx"`` or ``"openvino"``.
        precision: ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"int8"``.
        films: Films, folders or indexes. Of an index the train rows calibrate int8 and the val rows
            compare. None: phantom films, drawn on the spot.
        progress: Called with (done, total) films.

    Returns:
        What is now in the bundle. The bundle's model digest does not change: an fp32 export is the
        same model; another precision is served under a digest of its own.

    Raises:
        InvalidBundle: If it is not packaged or was changed.
        SettingsError: If there is no such format and precision, this machine cannot compute it, or
            the export is refused.
        MissingDependency: If the package of the format is not installed.
    """
    check_format(format_name, precision)
    bundle = find_bundle(name)
    digest = model_digest(check_digests(bundle))
    model = BundleModel.load(bundle, device="cpu", runtime="torch")
    prepared = _films(model, precision, films, progress)
    files = tuple(f"models/{file}" for file in file_names(format_name, precision))
    staging = Path(tempfile.mkdtemp(prefix=".export-", dir=bundle))
    try:
        (staging / "models").mkdir()
        network = open_torch(bundle, read_config(bundle, "inference"), "cpu").observed
        kind = (format_name, precision, prepared.calibration)
        write_network(network, model.image_size, staging / "models", *kind)
        if format_name == "onnx":
            write_facts(staging / files[0], facts_of(model))
        made = Export(format_name, precision, files, digest, _NO_PARITY)
        parity = _compared(model, staging, made, prepared)
        made = replace(made, parity=parity)
        others = [one for one in read_exports(bundle) if one.name != made.name]
        for file in files:
            (staging / file).replace(bundle / file)
        write_exports(bundle, sorted([*others, made], key=lambda one: one.name))
        write_digests(bundle)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return made


def _films(
    model: BundleModel, precision: str, films: Sequence[Path], progress: Progress | None
) -> ExportFilms:
    if films:
        return given_films(model, films, progress)
    return phantom_films(model, *_PHANTOMS.get(precision, _PHANTOMS_OTHERWISE), progress)


def _compared(model: BundleModel, folder: Path, made: Export, films: ExportFilms) -> Parity:
    parity = measure_parity(
        model.runtime,
        open_export(folder, made, "cpu"),
        films.comparison,
        films.labels,
        model.probabilities if model.calibrated else sigmoid,
        source=films.source,
    )
    require_parity(parity, made.precision, made.name)
    return parity
