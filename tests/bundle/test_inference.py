"""Inference: files, folders and indexes to one table; what cannot be read says why."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_cxr.bundle import inference
from monai_cxr.bundle.engines.runtime import NetworkOutput
from monai_cxr.bundle.inference import input_table, predict_chunks, predict_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import InvalidBundle, InvalidTable
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.reading.files import read_for_model
from monai_cxr.tables import (
    QUALITY_COLUMNS,
    cam_column,
    columns_array,
    label_column,
    logit_column,
    probability_column,
    read_table,
    write_chunks,
    write_table,
)


@pytest.fixture(scope="module")
def model(packaged_bundle):
    return BundleModel.load(packaged_bundle, device="cpu")


@pytest.fixture
def mixed(phantom_index, tmp_path):
    """Three films among what is no film; the third sorts last."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    for name, path in zip(("a.dcm", "c.dcm", "z.dcm"), phantom_index.table["path"], strict=False):
        shutil.copy(path, folder / name)
    (folder / "b_text.dcm").write_text("no film")
    (folder / "d_empty.dcm").touch()
    data = (folder / "a.dcm").read_bytes()
    (folder / "e_cut.dcm").write_bytes(data[: len(data) // 2])
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "f_color.png")
    (folder / "notes.txt").write_text("not even looked at")
    return folder


class TestInputTable:
    def test_a_file_a_folder_and_an_index(self, phantom_index, mixed, tmp_path):
        index = tmp_path / "few.csv"
        write_table(phantom_index.table.tail(2), index)
        table = input_table([mixed / "a.dcm", mixed, index], FINDING_NAMES)
        names = [path.rsplit("/", 1)[-1] for path in table["path"]]
        assert names[:2] == ["a.dcm", "b_text.dcm"]  # the file once, though named twice
        assert "notes.txt" not in names
        assert table["path"].tolist()[-2:] == phantom_index.table["path"].tolist()[-2:]
        assert table["Effusion"].notna().sum() == 2

    def test_a_missing_input(self, tmp_path):
        with pytest.raises(InvalidTable, match=r"'no\.dcm' does not exist") as caught:
            input_table([tmp_path / "no.dcm"], FINDING_NAMES)
        assert caught.value.reason == "missing_file"

    @pytest.mark.parametrize("inputs", [[], ["empty"]])
    def test_no_film(self, tmp_path, inputs):
        (tmp_path / "empty").mkdir()
        with pytest.raises(InvalidTable, match="No film found") as caught:
            input_table([tmp_path / name for name in inputs], FINDING_NAMES)
        assert caught.value.reason == "no_images"

    def test_an_index_without_patients(self, tmp_path):
        (tmp_path / "index.csv").write_text("path,sop_uid\na.png,a\n")
        with pytest.raises(InvalidTable, match="patient_id"):
            input_table([tmp_path / "index.csv"], FINDING_NAMES)


class TestRefused:
    def test_gets_a_reason_and_the_rest_is_done(self, model, mixed):
        seen = []
        table = predict_table(
            model,
            input_table([mixed], model.findings),
            batch_size=2,
            progress=lambda *done: seen.append(done),
        )
        names = table["path"].str.rsplit("/", n=1).str[-1]
        reasons = dict(zip(names, table["reason"], strict=True))
        assert [name for name, reason in reasons.items() if not reason] == [
            "a.dcm",
            "c.dcm",
            "z.dcm",
        ]
        assert reasons["b_text.dcm"] == "not_an_image"
        assert reasons["d_empty.dcm"] == "empty_file"
        assert reasons["e_cut.dcm"]
        assert reasons["f_color.png"]
        assert seen[-1] == (7, 7)
        refused = table["reason"] != ""
        scores = [column(name) for column in (logit_column, probability_column)
                  for name in model.findings]  # fmt: skip
        assert table.loc[refused, scores].isna().all(axis=None)
        assert table.loc[~refused, scores].notna().all(axis=None)
        assert table.loc[refused, list(QUALITY_COLUMNS)].isna().all(axis=None)
        assert table.loc[~refused, list(QUALITY_COLUMNS)].notna().all(axis=None)
        assert (table.loc[refused, "message"] != "").all()
        assert not table["message"].str.contains(str(mixed)).any()

    def test_nothing_readable_is_still_a_table(self, model, mixed):
        table = predict_table(model, pd.DataFrame({"path": [str(mixed / "b_text.dcm"), "/no"]}))
        assert table["reason"].tolist() == ["not_an_image", "missing_file"]
        assert table[logit_column("Mass")].isna().all()


class TestScores:
    def test_are_those_of_predict_in_order(self, model, mixed):
        table = predict_table(model, input_table([mixed], model.findings), batch_size=3)
        for _, row in table[table["reason"] == ""].iterrows():
            film = read_for_model(row["path"])
            prediction = model.predict([film])[0]
            assert row["sop_uid"] == film.key.sop_uid
            assert prediction.quality == film.quality
            assert {f"quality_{k}": v for k, v in film.quality.items()} == dict(
                row[list(QUALITY_COLUMNS)]
            )
            for score in prediction.scores:
                assert row[logit_column(score.finding)] == pytest.approx(score.logit, abs=1e-4)
                assert row[probability_column(score.finding)] == pytest.approx(
                    score.probability, abs=1e-4
                )

    @pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (5, 3)])
    def test_do_not_depend_on_batches_and_threads(self, model, phantom_index, batch_size, workers):
        rows = phantom_index.rows("test")
        names = [logit_column(name) for name in model.findings]
        one = predict_table(model, rows)
        two = predict_table(model, rows, batch_size=batch_size, workers=workers)
        np.testing.assert_allclose(one[names], two[names], atol=1e-4)

    @pytest.mark.parametrize("at_once", [1, 2])
    def test_as_many_batches_are_in_the_model_as_it_takes(self, model, mixed, at_once):
        """Each batch waits in the model for the one beside it, and no other comes."""
        beside, one_less = (threading.Barrier(at_once, timeout=30) for _ in range(2))
        inside, most = threading.Semaphore(at_once), []

        class Waiting:
            batches_at_once = at_once

            def __getattr__(self, name):
                return getattr(model, name)

            def score(self, inputs):
                most.append(inside.acquire(blocking=False))
                beside.wait()
                scores = model.score(inputs)
                one_less.wait()
                inside.release()
                return scores

        paths = pd.DataFrame({"path": [str(mixed / f"{name}.dcm") for name in "acac"]})
        rows = list(predict_chunks(Waiting(), paths, batch_size=1))
        assert sum(len(part) for part in rows) == 4
        assert most == [True] * 4

    @pytest.mark.parametrize("workers", [0, 1, 2])
    def test_are_the_same_to_the_last_bit_whoever_reads(self, model, phantom_index, workers):
        rows = phantom_index.rows("test")
        names = [logit_column(name) for name in model.findings]
        one = predict_table(model, rows, batch_size=4)
        two = predict_table(model, rows, batch_size=4, workers=workers)
        assert one[names].equals(two[names])
        assert one["sop_uid"].tolist() == two["sop_uid"].tolist()

    def test_parts_are_the_table(self, model, mixed, monkeypatch, tmp_path):
        inputs = input_table([mixed], model.findings)
        whole = predict_table(model, inputs, batch_size=2)
        monkeypatch.setattr(inference, "_CHUNK", 3)
        parts = list(predict_chunks(model, inputs, batch_size=2))
        assert [len(part) for part in parts] == [4, 3]
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
        for name in ("parts.parquet", "parts.csv"):
            write_chunks(predict_chunks(model, inputs, batch_size=2), tmp_path / name)
            write_table(whole, tmp_path / f"whole_{name}")
            pd.testing.assert_frame_equal(
                read_table(tmp_path / name), read_table(tmp_path / f"whole_{name}")
            )

    def test_embeddings_and_maps_come_from_the_same_pass(self, model, mixed, tmp_path):
        inputs = input_table([mixed], model.findings)
        write_chunks(
            predict_chunks(model, inputs, embeddings=True, cam=True), tmp_path / "p.parquet"
        )
        table = read_table(tmp_path / "p.parquet")
        read = table["reason"] == ""
        embeddings = np.stack(table.loc[read, "embedding"])
        head = model.runtime.observed.head
        weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
        logits = columns_array(table[read], [logit_column(name) for name in model.findings])
        np.testing.assert_allclose(embeddings @ weight.T + bias, logits, atol=1e-3)
        maps = np.stack([np.stack(table.loc[read, cam_column(n)]) for n in model.findings], axis=1)
        np.testing.assert_allclose(maps.mean(axis=2) + bias, logits, atol=1e-3)
        assert (table.loc[~read, "embedding"].map(len) == 0).all()

    def test_a_network_without_them_says_so(self, model, mixed, monkeypatch):
        run = model.runtime.run
        monkeypatch.setattr(model.runtime, "run", lambda batch: NetworkOutput(run(batch).logits))
        inputs = input_table([mixed / "a.dcm"], model.findings)
        with pytest.raises(InvalidBundle, match="has no class activation map"):
            predict_table(model, inputs, cam=True)

    def test_an_index_brings_labels_and_identity(self, model, phantom_index):
        rows = phantom_index.rows("test")
        rows["patient_id"] = "stated in the index"
        rows.loc[0, "sex"] = ""
        table = predict_table(model, rows)
        assert (table["patient_id"] == "stated in the index").all()
        assert table["sex"].isin(["M", "F"]).all()  # the header fills what the index leaves open
        assert (table["split"] == "test").all()
        for name in FINDING_NAMES:
            assert table[label_column(name)].tolist() == rows[name].tolist()
        assert (table["model_digest"] == model.identity.digest).all()

    def test_without_calibration_there_are_no_probabilities(self, trained_run, phantom_index):
        table = predict_table(BundleModel.load(trained_run), phantom_index.rows("test").head(2))
        assert logit_column("Mass") in table
        assert probability_column("Mass") not in table
