"""Phantom: a digital chest with known findings, the project's embedded data."""

from monai_cxr.phantom.dicom_archive import write_dicom_archive
from monai_cxr.phantom.film import PhantomFilm, render_film
from monai_cxr.phantom.nih_archive import write_nih_archive
from monai_cxr.phantom.settings import DEFAULT_PREVALENCE, PhantomSettings

__all__ = [
    "DEFAULT_PREVALENCE",
    "PhantomFilm",
    "PhantomSettings",
    "render_film",
    "write_dicom_archive",
    "write_nih_archive",
]
