"""DICOMweb: films by QIDO-RS and WADO-RS, results by STOW-RS (PS3.18)."""

from __future__ import annotations

from monai_cxr.screening.network.dicomweb.asking import probe, refuse_if_away
from monai_cxr.screening.network.dicomweb.qido import MODALITIES, search
from monai_cxr.screening.network.dicomweb.session import DicomWebServer
from monai_cxr.screening.network.dicomweb.stow import store
from monai_cxr.screening.network.dicomweb.wado import retrieve
from monai_cxr.screening.network.study_search import FoundInstance

__all__ = [
    "MODALITIES",
    "DicomWebServer",
    "FoundInstance",
    "probe",
    "refuse_if_away",
    "retrieve",
    "search",
    "store",
]
