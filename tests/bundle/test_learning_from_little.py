"""Learning from little: a further finding that leaves the others alone, and what features know."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.learning.few_shot import add_finding
from monai_cxr.bundle.learning.linear_head import FEW, FIXED_VARIANCE, fit_head
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.verification import verify
from monai_cxr.cli import app
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.labels.budget import forecast
from monai_cxr.networks.grown import grow
from monai_cxr.tables import read_table, write_table

SHOTS = 3


def labelled(table, path):
    """Every second patient has the new finding."""
    patients = {name: i % 2 for i, name in enumerate(sorted(table["patient_id"].unique()))}
    write_table(table.assign(Granuloma=table["patient_id"].map(patients).astype(float)), path)
    return path


@pytest.fixture(scope="module")
def index(phantom_index, tmp_path_factory):
    return labelled(phantom_index.table, tmp_path_factory.mktemp("granuloma") / "index.parquet")


@pytest.fixture(scope="module")
def grown(packaged_bundle, index, tmp_path_factory):
    out = tmp_path_factory.mktemp("few_shot") / "bundle"
    return out, add_finding(packaged_bundle, "Granuloma", index, out, shots=SHOTS, workers=0)


class TestHead:
    @pytest.mark.parametrize("n", [2 * FEW, 80])
    def test_equals_scikit_learn_on_standardised_features(self, n):
        rng = np.random.default_rng(0)
        labels = np.arange(n) % 2.0
        features = 5 + 3 * rng.normal(size=(n, 6)) + labels[:, None]
        head = fit_head(features, labels, np.arange(n))
        if n == 2 * FEW:
            assert head.variance == FIXED_VARIANCE
        scaled = StandardScaler().fit(features)
        model = LogisticRegression(C=head.variance / 6, max_iter=1000)
        model.fit(scaled.transform(features), labels)
        expected = model.decision_function(scaled.transform(features))
        assert head.logits(features) == pytest.approx(expected, abs=1e-6)

    def test_a_feature_that_never_changes_has_no_say(self):
        features = np.column_stack([np.arange(8.0), np.full(8, 3.0)])
        head = fit_head(features, np.arange(8) % 2.0, np.arange(8))
        assert head.weight[1] == 0

    def test_a_network_grown_twice_keeps_its_outputs(self):
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 14)).eval()
        images = torch.randn(5, 1, 8, 8)
        with torch.no_grad():
            before = network(images)
            once = grow(network)(images)
            twice = grow(network)(images)
        assert torch.equal(once[:, :14], before)
        assert torch.equal(twice[:, :15], once)
        assert network[1].parts == (14, 1, 1)


class TestFewShot:
    def test_the_old_findings_stay_bit_for_bit(self, grown, packaged_bundle, index):
        rows = read_table(index).head(6)
        old = predict_table(BundleModel.load(packaged_bundle, runtime="torch"), rows, workers=0)
        new = predict_table(BundleModel.load(grown[0], runtime="torch"), rows, workers=0)
        scores = [name for name in old if name.startswith(("logit_", "probability_"))]
        assert len(scores) == 28
        pd.testing.assert_frame_equal(old[scores], new[scores], check_exact=True)
        assert new["probability_Granuloma"].between(0, 1).all()

    def test_the_logit_is_the_head_s_on_the_embedding(self, grown, packaged_bundle, index):
        """By scikit-learn alone, on what ``predict --embeddings`` writes."""
        table = read_table(index)
        train = table[table["split"] == "train"]
        shuffled = train.sample(frac=1.0, random_state=0).drop_duplicates("patient_id")
        chosen = pd.concat([shuffled[shuffled["Granuloma"] == v].head(SHOTS) for v in (1, 0)])
        model = BundleModel.load(packaged_bundle, runtime="torch")
        seen = predict_table(model, chosen.reset_index(drop=True), workers=0, embeddings=True)
        x = np.stack(list(seen["embedding"])).astype(float)
        scaled = StandardScaler().fit(x)
        fitted = LogisticRegression(C=FIXED_VARIANCE / x.shape[1], max_iter=1000)
        fitted.fit(scaled.transform(x), [1] * SHOTS + [0] * SHOTS)
        new = predict_table(
            BundleModel.load(grown[0], runtime="torch"), chosen.reset_index(drop=True), workers=0
        )
        expected = fitted.decision_function(scaled.transform(x))
        assert new["logit_Granuloma"].to_numpy() == pytest.approx(expected, abs=1e-4)

    def test_is_an_ordinary_bundle(self, grown, packaged_bundle):
        out, made = grown
        assert verify(out).findings == (*verify(packaged_bundle).findings, "Granuloma")
        assert verify(out).methods["Granuloma"] == "prior_shift"
        assert made.n == 2 * SHOTS
        assert made.n_judged > 0
        assert made.auroc.low <= made.auroc.estimate <= made.auroc.high

    def test_exports_at_parity(self, grown, phantom_index, tmp_path):
        shutil.copytree(grown[0], tmp_path / "bundle")
        films = sorted(phantom_index.films.rglob("*.dcm"))[:4]
        export(tmp_path / "bundle", "onnx", films=films)  # refuses what differs
        rows = pd.DataFrame({"path": [str(film) for film in films]})
        models = (BundleModel.load(tmp_path / "bundle", runtime=r) for r in ("torch", "onnx"))
        tables = [predict_table(model, rows, workers=0) for model in models]
        torch_s, onnx_s = (table["logit_Granuloma"].to_numpy() for table in tables)
        assert onnx_s == pytest.approx(torch_s, abs=1e-3)


class TestBesideAnOldHead:
    def test_is_judged_on_the_same_films(self, packaged_bundle, index, tmp_path):
        arguments = ["few-shot", str(packaged_bundle), "--finding", "Mass_here", "--beside", "Mass"]
        arguments += ["--index", str(index), "--out", str(tmp_path / "out"), "--workers", "0"]
        done = CliRunner().invoke(app, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        made = json.loads(done.output)["few_shot"]
        table = read_table(index)
        judged = table[table["split"] == "val"].drop_duplicates("patient_id").reset_index(drop=True)
        new = predict_table(BundleModel.load(tmp_path / "out", runtime="torch"), judged, workers=0)
        own, old = (
            roc_auc_score(judged["Mass"], new[f"logit_{name}"]) for name in ("Mass_here", "Mass")
        )
        assert made["beside"]["finding"] == "Mass"
        assert made["auroc"]["estimate"] == pytest.approx(own)
        assert made["beside"]["auroc"]["estimate"] == pytest.approx(old)
        assert made["beside"]["gain"]["estimate"] == pytest.approx(own - old)

    def test_that_is_not_there(self, packaged_bundle, index, tmp_path):
        with pytest.raises(SettingsError, match=r"has no finding 'Masss'.*Mass"):
            add_finding(packaged_bundle, "Mass_here", index, tmp_path / "out", beside="Masss")


class TestRefused:
    def add(self, bundle, index, tmp_path, finding="Granuloma", **options):
        return add_finding(bundle, finding, index, tmp_path / "out", workers=0, **options)

    def test_a_finding_that_exists(self, packaged_bundle, index, tmp_path):
        with pytest.raises(SettingsError, match="has the finding 'Mass' already"):
            self.add(packaged_bundle, index, tmp_path, "Mass")

    def test_more_shots_than_there_are(self, packaged_bundle, index, tmp_path):
        with pytest.raises(SettingsError, match=r"Expected 500 positive patients.*has \d+"):
            self.add(packaged_bundle, index, tmp_path, shots=500)

    def test_all_shots_of_one_patient(self, packaged_bundle, index, tmp_path):
        table = read_table(index)
        train = table[table["split"] == "train"]
        only = train["patient_id"].iloc[0]
        table["Granuloma"] = (table["patient_id"] == only).astype(float)
        write_table(table, tmp_path / "one.parquet")
        with pytest.raises(InvalidTable, match="are of 1 patient; at least 2"):
            self.add(packaged_bundle, tmp_path / "one.parquet", tmp_path)

    def test_a_finding_without_a_column(self, packaged_bundle, index, tmp_path):
        with pytest.raises(InvalidTable, match="Calcification"):
            self.add(packaged_bundle, index, tmp_path, "Calcification")


def test_probe_writes_a_curve_that_budget_reads(packaged_bundle, index, tmp_path):
    arguments = ["probe", str(packaged_bundle), str(index), "--out", str(tmp_path)]
    options = ["--share", "0.3", "--share", "0.6", "--share", "1", "--draws", "2", "--workers", "0"]
    done = CliRunner().invoke(app, [*arguments, *options])
    assert done.exit_code == 0, done.output
    curve = read_table(tmp_path / "curve.csv")
    assert list(curve.columns) == ["finding", "n", "draw", "auroc"]
    assert curve["auroc"].between(0, 1).all()
    assert "Granuloma" in set(curve["finding"])
    assert {one.finding for one in forecast(curve)} == set(curve["finding"])
    fewer = ["--share", "0.3", "--draws", "1", "--workers", "0"]
    again = CliRunner().invoke(app, [*arguments[:-1], str(tmp_path / "b"), *fewer])
    assert again.exit_code == 0
    first = curve[(curve["n"] == curve["n"].min()) & (curve["draw"] == 0)].reset_index(drop=True)
    pd.testing.assert_frame_equal(read_table(tmp_path / "b" / "curve.csv"), first)
