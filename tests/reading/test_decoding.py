"""Decoding: reduced where it is asked for, in every reader alike, under a digest of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_cxr.bundle.ensemble import load_predictor
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import SettingsError
from monai_cxr.phantom import PhantomSettings, render_film
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.reading.film_input import InputSpec, PreparedFilm, read_film_input


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two films as JPEG 2000 and uncompressed."""
    folder = tmp_path_factory.mktemp("films")
    paths = []
    for number, syntax in enumerate(("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.1")):
        pixels = render_film(PhantomSettings(n_patients=2, size=256), patient=number).pixels
        stored = (pixels * 4000).astype(np.uint16)
        paths.append(folder / f"{number}.dcm")
        paths[-1].write_bytes(
            synthetic_dicom(
                stored,
                transfer_syntax=syntax,
                SOPInstanceUID=f"1.2.3.{number}",
                **{"BitsStored": 12, "HighBit": 11, "WindowCenter": 2000, "WindowWidth": 4001},
            )
        )
    return pd.DataFrame({"path": [str(path) for path in paths]})


def test_the_same_whoever_reads(exported_bundle, films):
    exact = BundleModel.load(exported_bundle, device="cpu", runtime="onnx")
    reduced = BundleModel.load(exported_bundle, device="cpu", runtime="onnx", decoding="reduced")
    assert reduced.identity.runtime == exact.identity.runtime + "+reduced-decoding"
    assert reduced.identity.digest != exact.identity.digest
    plain = predict_table(exact, films)
    threads, children = (predict_table(reduced, films, workers=n) for n in (0, 2))
    pd.testing.assert_frame_equal(threads, children)
    assert threads["flags"].str.contains("reduced_resolution").tolist() == [True, False]
    columns = [name for name in plain if name.startswith("logit_")]
    change = (threads[columns] - plain[columns]).abs().max(axis=1)
    assert 0 < change[0] < 0.05
    assert change[1] == 0
    film = reduced.read(films["path"][0])
    assert film.step == 4  # 256 px and a network of 32
    assert reduced.predict([film])[0].scores[0].logit == pytest.approx(threads[columns[0]][0])


def test_the_most_demanding_network_decides(films):
    path = films["path"][0]

    def read(*specs):
        film = read_film_input(path, specs)
        assert isinstance(film, PreparedFilm)
        return film

    small, large = (InputSpec(size, "stretch", decoding="reduced") for size in (32, 60))
    assert "reduced_resolution" in read(small, large).facts.flags
    exact = InputSpec(32, "pad")
    assert "reduced_resolution" not in read(small, exact).facts.flags
    assert np.array_equal(read(large).inputs[0], read(small, large).inputs[1])


def test_an_ensemble_passes_it_on(exported_bundle, other_bundle):
    model = load_predictor([exported_bundle, other_bundle], device="cpu", decoding="reduced")
    assert {spec.decoding for spec in model.specs} == {"reduced"}


def test_unknown(exported_bundle):
    with pytest.raises(SettingsError, match="decoding as one of exact, reduced"):
        BundleModel.load(exported_bundle, decoding="wavelets")
