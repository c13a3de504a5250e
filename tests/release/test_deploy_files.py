"""What ``deploy/`` installs is what the package declares, and starts verbs that there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
import typer

from monai_cxr import BundleModel, read_for_model
from monai_cxr.cli import LEFT_OUT_BY_SERVING, app

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SERVING = [
    line
    for line in (ROOT / "deploy" / "serving.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
IMPORTED_AS = {"scikit-learn": "sklearn", "scikit-image": "skimage"}


def name(requirement: str) -> str:
    return re.split(r"[\[<>=; ]", requirement)[0]


def test_serving_installs_what_the_package_declares():
    declared = {*PROJECT["dependencies"], *EXTRAS["onnx"], *EXTRAS["pacs"]}
    assert [line for line in SERVING if line not in declared] == []


def test_what_serving_leaves_out_is_named_when_it_is_missed():
    left = {name(d) for d in PROJECT["dependencies"]} - {name(d) for d in SERVING}
    modules = {IMPORTED_AS.get(one, one) for one in left} | {"ignite"}  # an extra of MONAI's
    assert modules == set(LEFT_OUT_BY_SERVING)


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").glob("Containerfile*")), ids=str)
def test_a_container_installs_extras_and_starts_a_verb_that_there_are(path):
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    extras = [e for found in re.findall(r"'\.\[([\w,-]+)\]'", text) for e in found.split(",")]
    assert [extra for extra in extras if extra not in EXTRAS] == []
    for file in re.findall(r"-r (\S+)", text):
        assert (ROOT / file).is_file()
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    words = json.loads(entry)
    assert words[0] == "monai-cxr"
    command, rest = typer.main.get_command(app), words[1:]
    while rest and rest[0] in getattr(command, "commands", ()):
        command, rest = command.commands[rest[0]], rest[1:]
    if rest:
        command.make_context("container", rest)
    assert re.search(r"^USER monai-cxr$", text, re.MULTILINE)  # nothing runs as root


def test_the_monai_deploy_application_runs(exported_bundle, phantom_index, tmp_path):
    python = os.environ.get("MONAI_CXR_DEPLOY", "")
    if not python:
        pytest.skip(
            "MONAI Deploy is not here: install monai-deploy-app-sdk and deploy/serving.txt in an "
            "environment, and set MONAI_CXR_DEPLOY to its Python."
        )
    films = tmp_path / "films"
    films.mkdir()
    for path in phantom_index.table["path"][:4]:
        shutil.copy(path, films)
    (films / "text.dcm").write_text("no film")
    command = [python, ROOT / "deploy" / "monai_deploy" / "app.py", "-i", films]
    command += ["-m", exported_bundle, "-o", tmp_path / "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    said = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    model = BundleModel.load(exported_bundle, device="cpu", runtime="torch")
    assert said["model"] == model.identity.digest
    taken = [one for one in said["films"] if not one["reason"]]
    assert len(taken) < len(said["films"])
    for one in taken:
        score = model.predict([read_for_model(films / one["film"])])[0]["Effusion"]
        assert one["probabilities"]["Effusion"] == pytest.approx(score.probability, abs=1e-4)
        report = pydicom.dcmread(tmp_path / "out" / one["report"])
        assert report.Modality == "SR"
    assert taken
