"""Publishing: MONAI's own download and load take the zip, the Hub's own parser takes the page."""

from __future__ import annotations

import http.server
import runpy
import shutil
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from zoo import MARKS_OF_MONAI

from monai_cxr import cli
from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.publishing import write_hub_page, zip_bundle
from monai_cxr.bundle.verification import verify
from monai_cxr.errors import InvalidBundle

ROOT = Path(__file__).resolve().parents[2]
pytestmark = MARKS_OF_MONAI


@pytest.fixture
def served(tmp_path):
    """A folder that a web server of this machine offers, and its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=folder)
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def typed(monkeypatch, *words) -> int:
    monkeypatch.setattr(sys, "argv", ["monai-cxr", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


def test_monai_downloads_and_loads_the_zip(packaged_bundle, served, tmp_path):
    from monai.bundle import download, load

    folder, address = served
    name = packaged_bundle.name
    zipped = zip_bundle(shutil.copytree(packaged_bundle, folder / name))
    version = read_config(packaged_bundle, "metadata")["version"]
    assert zipped == folder / f"{name}_v{version}.zip"
    bundles = tmp_path / "bundles"
    download(name=name, url=f"{address}/{zipped.name}", bundle_dir=str(bundles), progress=False)
    assert verify(bundles / name) == verify(packaged_bundle)
    ours = BundleModel.load(packaged_bundle, device="cpu", runtime="torch")
    network = ours.runtime.observed.network
    weights = load(name=name, model=network, bundle_dir=str(bundles), device="cpu").state_dict()
    stored = torch.load(bundles / name / "models" / "model.pt", weights_only=True)
    assert weights.keys() == stored.keys()
    assert all(torch.equal(weights[key].cpu(), stored[key]) for key in stored)


def test_the_zoo_s_checks_pass_and_are_printed(packaged_bundle, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["zoo_checks.py", str(packaged_bundle)])
    checks = runpy.run_path(str(ROOT / "benchmarks" / "zoo_checks.py"))
    assert checks["main"]() == 0
    said = capsys.readouterr().out
    assert said.count("verified correctly.") == 5
    assert "export weights into TorchScript module successfully." in said


def test_one_bundle_has_one_zip(packaged_bundle, tmp_path):
    contents = []
    for place in ("a", "b"):
        copy = shutil.copytree(packaged_bundle, tmp_path / place / packaged_bundle.name)
        contents.append(zip_bundle(copy).read_bytes())
    assert contents[0] == contents[1]
    with zipfile.ZipFile(next((tmp_path / "a").glob("*.zip"))) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {packaged_bundle.name}


def test_a_changed_bundle_gets_no_zip(packaged_bundle, tmp_path):
    copy = shutil.copytree(packaged_bundle, tmp_path / "bundle")
    (copy / "LICENSE").write_text("other")
    for publish in (zip_bundle, write_hub_page):
        with pytest.raises(InvalidBundle, match="LICENSE"):
            publish(copy)
    assert not list(tmp_path.glob("*.zip"))


def test_a_packaged_bundle_is_laid_out_for_the_hub(exported_bundle, tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="comes with the extra timm")
    out = tmp_path / "published"
    assert typed(monkeypatch, "package", exported_bundle, "--out", out, "--hub", "--zip") == 0
    page = (out / "README.md").read_text(encoding="utf-8")
    card = hub.ModelCard(page)
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "monai"
    assert card.data.pipeline_tag == "image-classification"
    assert {"monai", "onnx", "openvino"} <= set(card.data.tags)
    assert page.count("\n# ") == 1  # the bundle's own headings lie below the title
    assert verify(out).digest == verify(exported_bundle).digest
    film = np.zeros((1, 1, 32, 32), dtype=np.float32)
    one, other = (BundleModel.load(b, runtime="onnx") for b in (out, exported_bundle))
    np.testing.assert_array_equal(one.logits(film), other.logits(film))
    (zipped,) = tmp_path.glob("*.zip")
    with zipfile.ZipFile(zipped) as archive:
        assert "published/README.md" in archive.namelist()


def test_a_packaged_bundle_is_no_run(packaged_bundle, tmp_path, monkeypatch):
    out = tmp_path / "published"
    assert typed(monkeypatch, "package", packaged_bundle, "--out", out) == 1
    wrong = ("package", packaged_bundle, "--out", out, "--zip", "--criterion", "youden")
    assert typed(monkeypatch, *wrong) == 2
    assert not out.exists()
