"""Served builders: what is delivered of a result is stated by the bundle that made it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from monai_cxr.bundle.model import bundle_digest, reporting
from monai_cxr.dicom.results.encapsulated_pdf import encapsulated_pdf
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.dicom.results.structured_report import structured_report
from monai_cxr.prediction import OperatingPoint
from monai_cxr.screening.delivering.builders import Builder, StudyBuilder, report_builder
from monai_cxr.screening.delivering.study_messages import MESSAGES, message_builder
from monai_cxr.screening.delivering.study_reports import study_report_builder
from monai_cxr.screening.ledger.outbox import DeliveryContent
from monai_cxr.screening.service.served_model import ServedModel


def study_report_builder_of(served: ServedModel) -> StudyBuilder:
    """A builder of reports of whole studies; see :func:`report_builder_of`."""

    def stated(digest: str) -> tuple[Mapping[str, OperatingPoint], Mapping[str, str]]:
        folder = served.made(digest)
        bundle_digest(folder)  # every file is as it was packaged
        return reporting(folder)

    return study_report_builder(stated)


def report_builder_of(
    served: ServedModel, write: Callable[..., DicomInstance] = structured_report
) -> Callable[[DeliveryContent], DicomInstance]:
    """A builder of reports that states the operating points of each result's model.

    Args:
        served: Whose results.
        write: See :func:`~monai_cxr.screening.delivering.builders.report_builder`.
    """
    builders: dict[Path, Callable[[DeliveryContent], DicomInstance]] = {}

    def build(content: DeliveryContent) -> DicomInstance:
        folder = served.made(content.result.prediction.model.digest)
        if folder not in builders:
            bundle_digest(folder)  # every file is as it was packaged
            builders[folder] = report_builder(*reporting(folder), write)
        return builders[folder](content)

    return build


def heatmap_builders_of(served: ServedModel) -> Mapping[str, Builder]:
    """Builders of heat maps, each drawn by the network of its result's model."""
    from monai_cxr.screening.working.heatmaps import heatmap_builders

    made: dict[Path, Mapping[str, Builder]] = {}

    def of(kind: str) -> Builder:
        def build(content: DeliveryContent) -> DicomInstance | None:
            folder = served.made(content.result.prediction.model.digest)
            if folder not in made:
                made.clear()  # one network in memory
                made[folder] = heatmap_builders(folder, device=served.device)
            found = made[folder][kind](content)
            assert found is None or isinstance(found, DicomInstance)
            return found

        return build

    return {kind: of(kind) for kind in ("sc", "seg")}


def builders_of(served: ServedModel, objects: Collection[str]) -> dict[str, Builder]:
    """A builder for each kind of object of a film that a destination may take.

    Args:
        served: Whose results.
        objects: Kinds that the destination takes.
    """
    builders: dict[str, Builder] = {
        "sr": report_builder_of(served),
        "pdf": report_builder_of(served, encapsulated_pdf),
    }
    builders |= {kind: message_builder(kind) for kind in MESSAGES if kind in objects}
    if {"sc", "seg"} & set(objects):
        builders |= heatmap_builders_of(served)
    return builders
