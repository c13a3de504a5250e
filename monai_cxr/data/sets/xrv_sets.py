"""torchxrayvision's sets: where each keeps its films, and how it names films and patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
"""A row of a set's own table."""


@dataclass(frozen=True, slots=True)
class XrvSet:
    """How to find the films of a set.

    Attributes:
        class_name: In ``torchxrayvision.datasets``.
        title: The set's name.
        files: Paths relative to the folder at which a row's film may lie; the first is taken.
        image_id: A name that is unique in the set.
        patient_id: The patient; None where the set does not tell, and each film counts as one.
        needs: Tables that the user must give: ``"csv"``, ``"meta_csv"``.
        options: Further arguments of the class.
    """

    class_name: str
    title: str
    files: Callable[[Row], tuple[str, ...]]
    image_id: Callable[[Row], str]
    patient_id: Callable[[Row], str] | None
    needs: tuple[str, ...] = ()
    options: Mapping[str, Any] | None = None


def _any_suffix(name: str) -> tuple[str, ...]:
    return tuple(f"{name}{suffix}" for suffix in (".dicom", ".dcm", ".png", ".jpg", ".jpeg"))


def _chexpert(row: Row) -> str:
    parts = Path(str(row["Path"])).parts
    return "/".join(parts[1:] if parts[0].startswith("CheXpert") else parts)


def _mimic(row: Row) -> str:
    subject, study = str(row["subject_id"]), str(row["study_id"])
    return f"p{subject[:2]}/p{subject}/s{study}/{row['dicom_id']}"


# fmt: off
SETS: Mapping[str, XrvSet] = {
    "chexpert": XrvSet(
        "CheX_Dataset", "CheXpert", lambda row: (_chexpert(row),), _chexpert,
        lambda row: next(p for p in Path(row["Path"]).parts if p.startswith("patient"))),
    "mimic": XrvSet(
        "MIMIC_Dataset", "MIMIC-CXR-JPG", lambda row: (*_any_suffix(_mimic(row)),
        *_any_suffix("files/" + _mimic(row))), lambda row: str(row["dicom_id"]),
        lambda row: str(row["subject_id"]), ("csv", "meta_csv")),
    "padchest": XrvSet(
        "PC_Dataset", "PadChest",
        lambda row: (str(row["ImageID"]), f"{row['ImageDir']}/{row['ImageID']}"),
        lambda row: str(row["ImageID"]), lambda row: str(row["PatientID"])),
    "vindr": XrvSet(
        "VinDr_Dataset", "VinDr-CXR", lambda row: _any_suffix(str(row["image_id"])),
        lambda row: str(row["image_id"]), None),
    "rsna": XrvSet(
        "RSNA_Pneumonia_Dataset", "RSNA Pneumonia", lambda row: _any_suffix(str(row["patientId"])),
        lambda row: str(row["patientId"]), lambda row: str(row["patientId"])),
    "openi": XrvSet(
        "Openi_Dataset", "Open-i", lambda row: _any_suffix(str(row["imageid"])),
        lambda row: str(row["imageid"]), lambda row: str(row["uid"]),
        options={"use_tsne_derived_view": True}),
    "siim": XrvSet(
        "SIIM_Pneumothorax_Dataset", "SIIM-ACR Pneumothorax",
        lambda row: _any_suffix(str(row["ImageId"])), lambda row: str(row["ImageId"]), None),
    "brax": XrvSet(
        "BRAX_Dataset", "BRAX",
        lambda row: (str(row["PngPath"]).removeprefix("images/"), str(row["PngPath"])),
        lambda row: str(row["PngPath"]).removeprefix("images/"),
        lambda row: str(row["PatientID"]), ("csv",)),
}
# fmt: on
"""Sets by name."""
