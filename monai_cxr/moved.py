"""Moved modules: what a script of version 0.1.0 imports is found where it is now, with a warning.

The system asks for a module here only after it was found nowhere else, so that nothing is slower.
Names that no longer exist are not brought back.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_ROOMS = {
    ("bundle", "bundle.engines"): "parity runtime",
    ("bundle", "bundle.explaining"): "explanation inspection saliency",
    ("bundle", "bundle.exporting"): "quantization",
    ("bundle", "reading"): "film_input in_order reader_process reader_template",
    ("data", "data.sets"): "chestxray14 medmnist nih_folder png_check xrv xrv_sets",
    ("dicom", "dicom.deidentified"): "deidentification identity_traces pseudonyms",
    ("dicom", "dicom.header"): "attributes elements parsing projection scope",
    ("dicom", "dicom.pixels"): (
        "codestream decoding fast_codecs lut presentation reduction run_lengths tally window"
    ),
    ("dicom", "dicom.results"): (
        "heatmap instances report_document report_groups structured_report"
    ),
    ("dicom", "phantom"): "synthetic",
    ("dicom", "picture"): "chest_likeness inflation quality",
    ("evaluation", "evaluation.calibration"): "patient_sketch pooled_beta provenance",
    ("evaluation", "evaluation.decisions"): "conformal criteria decision_rules operating_points",
    ("evaluation", "evaluation.predictions"): "column_names image_names prediction_columns",
    ("evaluation", "evaluation.statistics"): (
        "discrimination intervals localization logistic logits perturbation predictive_values "
        "rates reliability replicates significance"
    ),
    ("evaluation", "monitoring"): "drift",
    ("evaluation", "report"): "limitations model_card plot_frame plots published",
    ("phantom", "phantom.pathology"): "airspace focal lesion pleura volume",
    ("review", "review.watching"): "drifting monitoring",
    ("screening", "screening.arriving"): (
        "intake pull query_retrieve retention spool storage_commitment storage_scp watch_folder"
    ),
    ("screening", "screening.delivering"): "delivery",
    ("screening.ledger", "screening.ledger.people"): "reviews worklist",
    ("screening.ledger", "screening.ledger.watching"): "counts",
    ("screening", "screening.network"): "dicom_network dicomweb storage_scu",
    ("screening", "screening.service"): "backup doctor health supervision",
    ("screening", "screening.working"): "heatmaps worker",
    ("training", "training.run"): ("manifest pretraining request run_lock runs search workflow"),
}
"""(Folder of version 0.1.0, folder of today): modules that kept their names."""

_RENAMED = {
    "files": "reading.files",
    "plain_images": "reading.plain_images",
    "png_pixels": "reading.png_pixels",
    "bundle.bench_films": "bundle.bench.films",
    "bundle.bench_measures": "bundle.bench.measures",
    "bundle.bench_report": "bundle.bench.report",
    "bundle.engine_choice": "bundle.engines.choice",
    "bundle.engine_rates": "bundle.engines.rates",
    "bundle.export": "bundle.exporting.network",
    "bundle.export_films": "bundle.exporting.films",
    "bundle.export_formats": "bundle.exporting.formats",
    "bundle.onnx_runtime": "bundle.engines.onnx_engine",
    "bundle.openvino_runtime": "bundle.engines.openvino_engine",
    "bundle.read_ahead": "reading.film_readers",
    "bundle.torch_runtime": "bundle.engines.torch_engine",
    "dicom.color": "picture.gray",
    "dicom.deidentified_export": "dicom.deidentified.export",
    "evaluation.calibration_choice": "evaluation.calibration.choice",
    "evaluation.calibration_methods": "evaluation.calibration.methods",
    "evaluation.report": "report.files",
    "screening.archive_listing": "screening.archive.listing",
    "screening.archive_pacs": "screening.archive.pacs",
    "screening.archive_ray": "screening.archive.ray",
    "screening.archive_source": "reading.listing",
    "screening.archive_worker": "screening.archive.worker",
    "screening.film_reading": "screening.working.outcomes",
    "screening.messages": "screening.delivering.study_messages",
    "screening.settings_reader": "settings_reader",
    "screening.settings_tables": "screening.settings.tables",
}

MOVED = {
    f"monai_cxr.{old}": f"monai_cxr.{new}"
    for old, new in (
        *((f"{a}.{name}", f"{b}.{name}") for (a, b), ms in _ROOMS.items() for name in ms.split()),
        *_RENAMED.items(),
    )
}
"""Full names of modules of version 0.1.0, and of where they are."""


class _Moved(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(MOVED[spec.name])
        spec.loader_state = module.__spec__
        _warn(spec.name, MOVED[spec.name])
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state  # the module's own, not its old name's


def _warn(old: str, new: str) -> None:
    warnings.warn(
        f"'{old}' has become '{new}'. Import that; the old name goes with version 1.",
        DeprecationWarning,
        stacklevel=2,
    )


def find_moved() -> None:
    """Let old names be found; once for a process."""
    if not any(isinstance(one, _Moved) for one in sys.meta_path):
        sys.meta_path.append(_Moved())


def names_of(package: str, module: str) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package that was a module: its names are in this module of it.

    Args:
        package: ``__name__`` of the package.
        module: The module in it.
    """

    def get(name: str) -> Any:
        # The system asks for dunder names, and for modules that it then imports.
        is_asked = not name.startswith("_") and find_spec(f"{package}.{name}") is None
        source = importlib.import_module(f"{package}.{module}") if is_asked else None
        if source is None or not hasattr(source, name):
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        _warn(f"{package}.{name}", f"{package}.{module}.{name}")
        return getattr(source, name)

    return get
