"""Folder and uploads: a film that costs its reader costs the viewer nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from planted_faults import LIMITS, REASONS, plant, planted  # noqa: F401 - a fixture

from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import InputError
from monai_cxr.reading.film_readers import bound_shared_readers
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS
from monai_cxr.review.cases import CaseStatus
from monai_cxr.review.folder import FolderCases
from monai_cxr.review.payload import film_payload, heat_payload, thumbnail
from monai_cxr.review.uploads import Uploads


@pytest.fixture(scope="module")
def model(packaged_bundle) -> BundleModel:
    return BundleModel.load(packaged_bundle, device="cpu")


@pytest.fixture(params=["SEGV", "HANG"])
def fault(request, planted):  # noqa: F811
    """A fault, and readers that soon end it."""
    bound_shared_readers(LIMITS.get(request.param, DEFAULT_LIMITS))
    yield request.param
    bound_shared_readers(DEFAULT_LIMITS)


def test_in_a_folder_it_is_a_case_with_its_reason(phantom_index, model, tmp_path, fault):
    film = Path(phantom_index.table["path"][0])
    plant(film, tmp_path / "0.dcm", fault)
    shutil.copy(film, tmp_path / "1.dcm")
    cases = FolderCases(tmp_path, model, secret=b"test")
    cases.update()
    images = {case.status: case.images[0] for case in cases.cases()}
    assert images[CaseStatus.FAILED].reason == REASONS[fault]
    assert images[CaseStatus.ANALYSED].prediction is not None
    cases.update()
    assert cases.queue()[0].n == 0  # it is not tried again and again


def test_an_upload_is_refused_with_a_sentence(phantom_index, model, tmp_path, fault):
    film = Path(phantom_index.table["path"][0])
    plant(film, tmp_path / "planted.dcm", fault)
    data, uploads = (tmp_path / "planted.dcm").read_bytes(), Uploads()
    for show in (
        lambda: uploads.add(data, model),
        lambda: film_payload(data),
        lambda: thumbnail(data),
        lambda: heat_payload(data, model, model.findings),
    ):
        with pytest.raises(InputError) as refusal:
            show()
        assert refusal.value.reason == REASONS[fault]
    assert uploads.add(film.read_bytes(), model).prediction is not None
