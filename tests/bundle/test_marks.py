"""Marks: films and ages unlike those of training are marked by each engine, wherever they show."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monai_cxr.bundle.digests import write_digests
from monai_cxr.bundle.inference import embeds, predict_table
from monai_cxr.bundle.model import REFERENCE_NAME, BundleModel
from monai_cxr.bundle.packaging import package
from monai_cxr.bundle.verification import verify
from monai_cxr.monitoring.drift import write_references
from monai_cxr.monitoring.familiarity import (
    AGE_OUTSIDE,
    UNLIKE,
    Familiarity,
    KnownAges,
    known_films,
    read_familiarity,
)
from monai_cxr.radiograph import InstanceKey
from monai_cxr.review.analysis import analysed
from monai_cxr.review.cases import CaseImage
from monai_cxr.tables import read_table, write_table

ENGINES = ("torch", "onnx", "openvino", "torchscript")
KEY = InstanceKey("patient", "study", "series", "sop")


@pytest.fixture(scope="module")
def val(trained_run, phantom_index):
    return predict_table(
        BundleModel.load(trained_run), phantom_index.rows("val"), embeddings=True, workers=0
    )


@pytest.fixture(scope="module")
def marking(exported_bundle, val, tmp_path_factory):
    """The exported bundle; it knows films near those of val, and ages of 30 to 60 years."""
    bundle = shutil.copytree(exported_bundle, tmp_path_factory.mktemp("marking") / "bundle")
    known = Familiarity(many_films(val), KnownAges(200, 30.0, 60.0))
    write_references([], bundle / REFERENCE_NAME, known.content)
    write_digests(bundle)
    verify(bundle)
    return bundle


def many_films(val: pd.DataFrame):
    values = np.stack(val["embedding"].to_list())
    near = np.random.default_rng(0).normal(0.0, 0.2, (20, *values.shape)) * values.std(axis=0)
    many = (values + near).reshape(-1, values.shape[1])
    return known_films(list(many), [str(i) for i in range(len(many))])


@pytest.mark.parametrize("engine", ENGINES)
def test_noise_and_an_old_patient_are_marked(marking, phantom_index, engine):
    model = BundleModel.load(marking, runtime=engine)
    film = model.prepare(model.read(phantom_index.rows("val")["path"][0]))
    noise = np.random.default_rng(0).permutation(film.ravel()).reshape(film.shape)
    films, inputs = [(KEY, ("flat",)), (KEY, ())], np.stack([film, noise])
    flags = [one.flags for one in model.predict_prepared(films, inputs, [45.0, 61.0])]
    assert flags == [("flat",), (UNLIKE, AGE_OUTSIDE)]
    assert [one.flags for one in model.predict_prepared(films, inputs)] == [("flat",), (UNLIKE,)]


def test_the_table_marks_by_the_header_s_age_and_by_the_index_s(marking, phantom_index):
    model = BundleModel.load(marking, runtime="torch")
    rows = phantom_index.rows("val")
    by_header = predict_table(model, rows[["path"]], workers=0)
    outside = ~by_header["age"].between(30.0, 60.0)
    assert 0 < outside.sum() < len(outside)
    assert (by_header["flags"].str.contains(AGE_OUTSIDE) == outside).all()
    by_index = predict_table(model, rows.assign(age=25.0), workers=0)
    assert by_index["flags"].str.contains(AGE_OUTSIDE).all()
    films = model.predict([model.read(path) for path in rows["path"]])
    assert [";".join(film.flags) for film in films] == by_header["flags"].to_list()


def test_a_film_that_was_not_read_is_not_marked(marking, tmp_path):
    rows = pd.DataFrame({"path": [str(tmp_path / "absent.dcm")], "age": [99.0]})
    table = predict_table(BundleModel.load(marking, runtime="torch"), rows, workers=0)
    assert table["reason"][0]
    assert table["flags"][0] == ""


def test_the_viewer_shows_the_marks(marking, phantom_index):
    rows = phantom_index.rows("val")
    old = rows[rows["age"] > 60.0].iloc[0]
    image = analysed(CaseImage(KEY), Path(old["path"]), BundleModel.load(marking))
    assert AGE_OUTSIDE in image.flags
    assert image.prediction.flags == image.flags


def test_package_keeps_films_and_ages(trained_run, phantom_index, val, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run")
    index = phantom_index.table
    copies = [index.assign(patient_id=index["patient_id"] + f" {i}") for i in range(5)]
    name = json.loads((run / "run.json").read_text(encoding="utf-8")).get("index", "index.parquet")
    write_table(pd.concat(copies, ignore_index=True), run / name)
    many = [
        val.assign(patient_id=val["patient_id"] + f" {i}", sop_uid=val["sop_uid"] + f".{i}")
        for i in range(12)
    ]
    write_table(pd.concat(many, ignore_index=True), tmp_path / "val.parquet")
    package(run, tmp_path / "bundle", predictions=tmp_path / "val.parquet")
    known = read_familiarity(tmp_path / "bundle" / REFERENCE_NAME)
    train = read_table(phantom_index.path).query("split == 'train'")
    assert known.films.n_films == 12 * len(val)
    assert known.films.n_channels == len(val["embedding"][0])
    assert known.ages.n_patients == 5 * train["patient_id"].nunique()
    assert (
        train["age"].min() - 1 <= known.ages.lowest < known.ages.highest <= train["age"].max() + 1
    )


def test_a_bundle_without_them_marks_nothing(packaged_bundle, phantom_index):
    model = BundleModel.load(packaged_bundle)  # of too few films and patients
    assert model.familiarity == Familiarity()
    table = predict_table(model, phantom_index.rows("val").assign(age=120.0), workers=0)
    assert not table["flags"].str.contains(f"{UNLIKE}|{AGE_OUTSIDE}").any()
    assert embeds(model)
