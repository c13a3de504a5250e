"""The verbs of performance: export, bench, and what predict takes for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from monai_cxr import cli
from monai_cxr.bundle.bench import films as bench_films
from monai_cxr.bundle.bench.opened import random_bundle
from monai_cxr.bundle.engines.openvino_engine import offers_bf16
from monai_cxr.bundle.engines.rates import cache_file


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """What an engine was measured at stays with the test."""
    monkeypatch.setenv("MONAI_CXR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def bundle(packaged_bundle, tmp_path):
    return shutil.copytree(packaged_bundle, tmp_path / "bundle")


def test_export_predict_bench(verb, bundle, phantom_index, tmp_path, monkeypatch):
    status, out, err = verb(
        "export", bundle, "--to", "openvino", "--films", phantom_index.path, "--json"
    )
    assert status == 0, err
    made = json.loads(out)
    assert made["files"] == ["models/model.xml", "models/model.bin"]
    assert made["runtime"] == "openvino"
    assert made["parity"]["max_probability_change"] < 1e-3
    assert verb("verify", bundle)[0] == 0

    predictions = tmp_path / "p.parquet"
    films = phantom_index.films
    options = ("--batch-size", 5, "--workers", 1, "--embeddings", "--json")
    status, out, err = verb(
        "predict", bundle, films, "--out", predictions, "--runtime", "openvino", *options
    )
    assert status == 0, err
    said = json.loads(out)
    assert said["model"]["runtime"] == "openvino-cpu-fp32"
    assert said["model"]["digest"] == made["model_digest"]
    table = pd.read_parquet(predictions)
    assert (table["runtime"] == "openvino-cpu-fp32").all()
    scored = table[table["reason"] == ""]
    assert len(table) == len(phantom_index.table)
    assert len(table) - 1 <= said["n_scored"] == len(scored)  # one may not look like a chest
    assert (scored["embedding"].map(len) > 0).all()

    monkeypatch.setattr(bench_films, "_ROWS", 250)
    monkeypatch.setattr(bench_films, "_COLUMNS", 200)
    status, out, err = verb("bench", bundle, "--seconds", 0.1, "--films", 4, "--json")
    assert status == 0, err
    found = json.loads(out)
    assert {one["runtime"] for one in found["engines"]} >= {"torch", "openvino"}
    assert {one["batch_size"] for one in found["engines"]} == {1, 8, 32}
    assert all(one["films_per_second"] > 0 for one in found["engines"])
    assert found["machine"]["gflops"] > 0
    (network,) = found["networks"]
    assert network["bundle"] == str(bundle)
    assert network["parameters"] > 1000
    assert all(one["file_mb"] > 0 for one in found["engines"])
    assert found["unavailable"]["onnx"].startswith("the bundle has no export for it")
    assert {one["readers"] for one in found["end_to_end"]} == {"processes", "threads"}
    assert len(found["reading"]) == 2 + len(bench_films.SYNTAXES)  # and JPEG 2000, reduced
    assert found["recommendation"].startswith("--runtime ")
    rates = {}
    for one in found["engines"]:
        rates[one["runtime"]] = max(rates.get(one["runtime"], 0.0), one["films_per_second"])
    recommended = rates[found["recommendation"].split()[1]]
    assert found["faster"] == {
        name: pytest.approx(rate / recommended, abs=0.01)
        for name, rate in rates.items()
        if "-" in name and rate >= 1.3 * recommended
    }
    remembered = list(json.loads(cache_file().read_text()).values())
    half = {"openvino-bf16"} if offers_bf16() else set()
    assert set(remembered[0]["rates"]) == {"torch", "openvino"} | half


def test_several_bundles_stand_in_one_table(verb, packaged_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_films, "_ROWS", 250)
    monkeypatch.setattr(bench_films, "_COLUMNS", 200)
    built = {"_target_": "monai_cxr.networks.build", "name": "small_resnet", "image_size": 32,
             "options": {"width": 8}}  # fmt: skip
    grown = {"_target_": "monai_cxr.networks.grown.grow", "n_added": 1}
    attention = {**built, "out_channels": 2, "head": "csra"}
    settings = {
        "attention": {"findings": ["A", "B"], "network_def": attention},
        "few shot": {
            "findings": ["A", "B", "C"],
            "network_def": {**grown, "network": {**built, "out_channels": 2}},
        },
        "encoder": {"findings": [], "network_def": {**built, "out_channels": 0}},
    }
    made = [
        random_bundle(
            tmp_path / name, {"image_size": 32, **given}, ["onnx"][: len(given["findings"])]
        )
        for name, given in settings.items()
    ]
    arguments = ("--seconds", 0.1, "--films", 4)
    status, out, err = verb("bench", packaged_bundle, *made, *arguments, "--json")
    assert status == 0, err
    found = json.loads(out)
    rows = {Path(one["bundle"]).name: one for one in found["networks"]}
    assert [one["bundle"] for one in found["networks"]] == [str(packaged_bundle), *map(str, made)]
    assert rows["attention"]["network"] == "small_resnet (width 8), head csra"
    assert rows["few shot"]["network"] == "small_resnet (width 8), 1 output added"
    assert rows["encoder"]["findings"] == 0
    for name, path in zip(settings, made, strict=True):
        state = torch.load(path / "models" / "model.pt", weights_only=True)
        buffers = ("running_mean", "running_var", "num_batches_tracked")
        sizes = [v.numel() for key, v in state.items() if not key.endswith(buffers)]
        assert rows[name]["parameters"] == sum(sizes)
        assert rows[name]["gflop"] > 0
    files = {(Path(one["bundle"]).name, one["runtime"]): one["file_mb"] for one in found["engines"]}
    for name, path in zip(settings, made, strict=True):
        assert files[name, "torch"] == (path / "models" / "model.pt").stat().st_size / 1e6
    assert files["few shot", "onnx"] == (made[1] / "models" / "model.onnx").stat().st_size / 1e6
    assert ("encoder", "onnx") not in files
    assert "onnx" in found["unavailable"]
    assert f"onnx of {made[2]}" in found["unavailable"]
    assert {one["bundle"] for one in found["agreement"]} == {str(made[0]), str(made[1])}

    status, out, err = verb("bench", made[0], made[0], *arguments)
    assert (status, out) == (cli.EXIT_INPUT, "")
    assert "Name each bundle once" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("export", "{bundle}", "--to", "tflite"), "Expected --to one of"),
        (("export", "{bundle}", "--to", "onnx", "--precision", "int4"), "Expected --precision"),
        (("export", "{nothing}", "--to", "onnx"), "is not a bundle"),
        (("bench", "{nothing}"), "is not a bundle"),
        (("predict", "{bundle}", "{film}", "--out", "{out}.csv", "--cam"), "Arrays need parquet"),
        (("predict", "{bundle}", "{film}", "--out", "{out}.csv", "--tta", "x"), "Unknown tta 'x'"),
        (("predict", "{bundle}", "{film}", "--out", "{out}.csv", "--runtime", "x"),
         "Unknown runtime 'x'"),
        (("predict", "{bundle}", "{film}", "--out", "{out}.csv", "--decoding", "x"),
         "Expected decoding as one of"),
        (("predict", "{bundle}", "{film}", "--out", "{out}.csv", "--runtime", "onnx"),
         "has no export for runtime 'onnx'"),
        (("predict", "{bundle}", "{film}", "--out", "{out}.csv", "--with", "{bundle}"),
         "two or more different bundles"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(verb, packaged_bundle, phantom_index, tmp_path, arguments, sentence):
    places = {
        "bundle": packaged_bundle,
        "nothing": tmp_path / "nothing",
        "film": phantom_index.table["path"].iloc[0],
        "out": tmp_path / "out",
    }
    status, out, err = verb(*(str(one).format(**places) for one in arguments))
    assert status == cli.EXIT_INPUT, err
    lines = [line for line in err.splitlines() if line.startswith("monai-cxr: ")]
    assert len(lines) == 1
    assert sentence in lines[0]
    assert "Traceback" not in out + err
    assert not list(tmp_path.glob("out*"))
