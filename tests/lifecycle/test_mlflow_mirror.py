"""The registry mirrored in MLflow, its own client looking, and the server away."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.lifecycle.registry import open_registry
from monai_cxr.lifecycle.retraining import retrain

RUN = CliRunner()
SIGNER = ["--signer", "Dr Example"]


@pytest.fixture
def mlflow(monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return pytest.importorskip(
        "mlflow", reason="mlflow is not installed: pip install '.[tracking]'."
    )


@pytest.mark.filterwarnings("ignore")  # mlflow's own
def test_mlflow_follows_and_a_server_that_is_away_stops_nothing(
    site, tmp_path, mlflow, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # mlflow keeps artifacts beside a database
    registry, uri = str(site / "registry"), f"sqlite:///{tmp_path}/mlflow.db"
    retrain(site.sealed(), site / "attempt")
    before, new = open_registry(site / "registry").versions
    command = ["registry", "mirror", "--registry", registry]
    assert RUN.invoke(app, command).exit_code == 1
    done = RUN.invoke(app, [*command, "--mlflow", uri, "--name", "cxr", "--json"])
    assert done.exit_code == 0, done.output
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def aliased(alias):
        return client.get_model_version_by_alias("cxr", alias).tags["digest"]

    assert (aliased("champion"), aliased("challenger")) == (before, new)
    done = RUN.invoke(app, ["promote", str(site / "attempt"), *SIGNER])
    assert done.exit_code == 0, done.output
    assert (aliased("champion"), aliased("retired")) == (new, before)
    assert "challenger" not in client.get_registered_model("cxr").aliases
    assert len(client.search_model_versions("name='cxr'")) == 2

    away = {"uri": "http://127.0.0.1:9", "name": "cxr"}
    there = (site / "registry" / "mlflow.json").read_text()
    (site / "registry" / "mlflow.json").write_text(json.dumps(away))
    back = ["rollback", "--registry", registry, *SIGNER, "--reason", "Missed cases."]
    done = RUN.invoke(app, back)
    assert done.exit_code == 0, done.output
    assert "MLflow could not be brought in line" in done.output
    assert "When MLflow is back: monai-cxr registry mirror" in " ".join(done.output.split())
    assert open_registry(site / "registry").champions == (before,)
    (site / "registry" / "mlflow.json").write_text(there)  # it is back, and behind
    assert (aliased("champion"), aliased("retired")) == (new, before)
    assert RUN.invoke(app, command).exit_code == 0
    assert (aliased("champion"), aliased("retired")) == (before, new)
    with_secret = [*command, "--mlflow", "http://a:b@host", "--name", "cxr"]
    assert "secret" in str(RUN.invoke(app, with_secret).exception)
