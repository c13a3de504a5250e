"""Joining: an ensemble as one bundle says what its members say, and how they differ."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from monai_cxr.bundle.config import read_config, write_config
from monai_cxr.bundle.digests import WEIGHTS_NAME, write_digests
from monai_cxr.bundle.ensemble import Ensemble
from monai_cxr.bundle.explaining.saliency import saliency
from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.joining import join
from monai_cxr.bundle.learning.few_shot import add_finding
from monai_cxr.bundle.model import BundleModel, rules_of
from monai_cxr.bundle.verification import verify
from monai_cxr.errors import InvalidBundle, InvalidTable, SettingsError
from monai_cxr.reading.files import read_radiograph
from monai_cxr.tables import read_table, write_table


@pytest.fixture(scope="module")
def members(packaged_bundle, tmp_path_factory):
    """The bundle, and one whose weights are shaken and whose findings stand backwards."""
    other = shutil.copytree(packaged_bundle, tmp_path_factory.mktemp("members") / "other")
    state = torch.load(other / WEIGHTS_NAME, weights_only=True)
    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if value.is_floating_point():
            value.mul_(1 + 0.1 * torch.randn(value.shape, generator=generator))
        if value.shape[:1] == (14,):
            state[name] = value.flip(0)
    torch.save(state, other / WEIGHTS_NAME)
    for name in ("inference", "train"):
        config = read_config(other, name)
        write_config(other, name, config | {"findings": config["findings"][::-1]})
    write_digests(other)
    return [packaged_bundle, other]


@pytest.fixture(scope="module")
def together(members, phantom_index, tmp_path_factory):
    out = tmp_path_factory.mktemp("joined") / "together"
    join(members, phantom_index.path, out, workers=0)
    return out


@pytest.fixture(scope="module")
def rows(phantom_index):
    return phantom_index.rows("val").head(6)


class TestBundle:
    def test_says_what_its_members_say(self, together, members, rows):
        own = predict_table(BundleModel.load(together, runtime="torch"), rows, workers=0)
        each = [BundleModel.load(member, runtime="torch") for member in members]
        apart = predict_table(Ensemble(each), rows, workers=0)
        names = [n for n in own if n.startswith(("logit_", "disagreement_"))]
        assert len(names) == 28
        np.testing.assert_allclose(own[names], apart[names], atol=1e-4)
        assert (own[[n for n in names if n.startswith("dis")]].to_numpy() > 0).all()

    def test_disagreement_is_half_the_difference_of_two(self, together, members, rows):
        own = predict_table(BundleModel.load(together, runtime="torch"), rows, workers=0)
        one, two = (
            predict_table(BundleModel.load(m, runtime="torch"), rows, workers=0) for m in members
        )
        half = (one["logit_Mass"] - two["logit_Mass"]).abs() / 2
        np.testing.assert_allclose(own["disagreement_Mass"], half, atol=1e-4)

    def test_is_calibrated_and_decides_as_itself(self, together, members):
        assert verify(together).findings == verify(members[0]).findings
        assert verify(together).digest not in {verify(member).digest for member in members}
        assert rules_of(together).points
        assert "An ensemble of 2 networks" in read_config(together, "metadata")["description"]
        training = json.loads((together / "models" / "training.json").read_text())
        assert [one["digest"] for one in training["ensemble"]] == [
            verify(member).digest for member in members
        ]

    def test_has_a_map_and_a_heat(self, together, rows):
        model = BundleModel.load(together, runtime="torch")
        film = read_radiograph(rows["path"].iloc[0])
        maps = saliency(model, film, ["Mass", "Hernia"])
        assert maps.shape == (2, *film.shape)

    def test_a_film_that_is_not_read_has_no_disagreement(self, together, rows, tmp_path):
        (tmp_path / "film.png").write_bytes(b"no picture")
        inputs = pd.DataFrame({"path": [str(tmp_path / "film.png"), rows["path"].iloc[0]]})
        table = predict_table(BundleModel.load(together, runtime="torch"), inputs, workers=0)
        assert table["disagreement_Mass"].isna().tolist() == [True, False]


@pytest.mark.parametrize("kind", ["onnx", "openvino", "torchscript"])
def test_exports_at_parity(together, phantom_index, rows, tmp_path, kind):
    bundle = shutil.copytree(together, tmp_path / "bundle")
    export(bundle, kind, films=[phantom_index.path])  # refuses what differs
    models = (BundleModel.load(bundle, runtime=r) for r in ("torch", kind))
    tables = [predict_table(model, rows, workers=0, cam=True, embeddings=True) for model in models]
    names = [n for n in tables[0] if n.startswith(("logit_", "probability_", "disagreement_"))]
    assert len(names) == 42
    np.testing.assert_allclose(tables[1][names], tables[0][names], atol=1e-3)
    for name in ("embedding", "cam_Mass"):
        one, two = (np.stack(list(table[name])) for table in tables)
        np.testing.assert_allclose(two, one, atol=1e-3)


class TestRefused:
    def test_one_bundle_and_the_same_twice(self, members, phantom_index, tmp_path):
        for chosen in (members[:1], members[:1] * 2):
            with pytest.raises(SettingsError, match="two or more different"):
                join(chosen, phantom_index.path, tmp_path / "out")

    def test_other_inputs_and_findings(self, members, phantom_index, tmp_path):
        for setting, said in (({"image_size": 48}, "image_size"), ({"findings": ["Mass"]}, "Mass")):
            other = shutil.copytree(members[0], tmp_path / said)
            write_config(other, "inference", read_config(other, "inference") | setting)
            write_digests(other)
            with pytest.raises(InvalidBundle, match=said):
                join([members[0], other], phantom_index.path, tmp_path / "out")
            assert not (tmp_path / "out").exists()

    def test_an_index_without_val(self, members, phantom_index, tmp_path):
        table = phantom_index.table
        write_table(table[table["split"] == "train"], tmp_path / "index.parquet")
        with pytest.raises(InvalidTable, match="split 'val'"):
            join(members, tmp_path / "index.parquet", tmp_path / "out")

    def test_a_finding_added_to_an_ensemble(self, together, phantom_index, tmp_path):
        table = read_table(phantom_index.path)
        patients = {name: i % 2 for i, name in enumerate(sorted(table["patient_id"].unique()))}
        write_table(table.assign(Gout=table["patient_id"].map(patients)), tmp_path / "i.parquet")
        with pytest.raises(InvalidBundle, match="Add the finding to the members"):
            add_finding(together, "Gout", tmp_path / "i.parquet", tmp_path / "out", workers=0)
