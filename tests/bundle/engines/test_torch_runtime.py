"""Runtime: a network from its definition, weights that are only weights."""

from __future__ import annotations

import contextlib
import os
import pickle
import random

import numpy as np
import pytest
import torch

from monai_cxr.bundle.engines.torch_engine import (
    TorchRuntime,
    build_network,
    choose_device,
    load_weights,
)
from monai_cxr.errors import InvalidBundle, SettingsError

LINEAR = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}


class Attack:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class TestWeights:
    def test_are_loaded(self, tmp_path):
        one, two = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
        torch.save(one.state_dict(), tmp_path / "model.pt")
        load_weights(two, tmp_path / "model.pt")
        assert torch.equal(one.weight, two.weight)

    @pytest.mark.parametrize("legacy", [False, True])
    def test_a_pickle_that_acts_is_refused_and_does_not_act(self, tmp_path, legacy):
        path, touched = tmp_path / "model.pt", tmp_path / "touched"
        attack = {"weight": Attack(str(touched))}
        torch.save(attack, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(InvalidBundle, match="hold more than weights"):
            load_weights(torch.nn.Linear(2, 3), path)
        path.write_bytes(pickle.dumps(attack))
        with pytest.raises(InvalidBundle, match="hold more than weights"):
            load_weights(torch.nn.Linear(2, 3), path)
        assert not touched.exists()

    @pytest.mark.parametrize(
        "state", [torch.nn.Linear(4, 3).state_dict(), {}, {"x": torch.zeros(1)}, [1, 2], 3, None]
    )
    def test_of_another_network(self, tmp_path, state):
        torch.save(state, tmp_path / "model.pt")
        with pytest.raises(InvalidBundle, match="to another network"):
            load_weights(torch.nn.Linear(2, 3), tmp_path / "model.pt")

    def test_absent(self, tmp_path):
        with pytest.raises(InvalidBundle, match="Train first"):
            load_weights(torch.nn.Linear(2, 3), tmp_path / "model.pt")

    @pytest.mark.parametrize("legacy", [False, True])
    def test_damage_of_any_kind_is_an_invalid_bundle(self, tmp_path, legacy):
        path = tmp_path / "model.pt"
        network = torch.nn.Linear(2, 3)
        torch.save(network.state_dict(), path, _use_new_zipfile_serialization=not legacy)
        whole = path.read_bytes()
        rng = random.Random(0)
        damaged = [b"", whole[:1], whole[: len(whole) // 2], whole[:-1], b"\0" * 100, b"text"]
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(rng.choice([1, 3, 20])):
                data[rng.randrange(len(data))] = rng.randrange(256)
            damaged.append(bytes(data))
        for data in damaged:
            path.write_bytes(data)
            with contextlib.suppress(InvalidBundle):  # a flipped bit of a number is a number
                load_weights(network, path)


class TestNetwork:
    def test_is_built(self):
        assert isinstance(build_network({"network_def": LINEAR | {"bias": False}}), torch.nn.Linear)

    @pytest.mark.parametrize(
        ("definition", "says"),
        [
            ({"_target_": "DenseNet122"}, "MONAI does not have"),
            ({"_target_": "os.system", "command": "true"}, "outside the allowed modules"),
            ({"_target_": "run_cmd", "cmd_list": ["true"]}, "outside the allowed modules"),
            ({"_target_": "CacheDataset", "data": []}, "outside the allowed modules"),
            (LINEAR | {"in_features": "$__import__('os').system('true')"}, "holds the expression"),
            (LINEAR | {"in_features": "@image_size"}, "holds the expression"),
            (LINEAR | {"in_features": "%other.json::a"}, "holds the expression"),
            (LINEAR | {"no_such_argument": 1}, "cannot be built.*no_such_argument"),
            (3, r"does not build a torch\.nn\.Module"),
            ([LINEAR], r"does not build a torch\.nn\.Module"),
        ],
    )
    def test_is_refused(self, definition, says):
        with pytest.raises(InvalidBundle, match=says):
            build_network({"network_def": definition})

    def test_is_absent(self):
        with pytest.raises(InvalidBundle, match="no network_def"):
            build_network({})


class TestTorchRuntime:
    def test_gives_float64_and_keeps_no_gradient(self):
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
        runtime = TorchRuntime(network, torch.device("cpu"), size=2)
        batch = np.random.default_rng(0).normal(size=(5, 1, 2, 2)).astype(np.float32)
        logits = runtime.run(batch).logits
        weight, bias = (p.detach().numpy() for p in network[1].parameters())
        assert logits.dtype == np.float64
        np.testing.assert_allclose(logits, batch.reshape(5, 4) @ weight.T + bias, atol=1e-6)
        assert runtime.name == "torch-cpu-fp32"


class TestDevice:
    def test_by_name(self):
        assert choose_device("cpu") == torch.device("cpu")

    def test_auto(self):
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        assert choose_device().type == kind

    @pytest.mark.parametrize("name", ["nowhere", "cuda:x", "cuda:4096", "meta", "hpu"])
    def test_that_is_not_here(self, name):
        with pytest.raises(SettingsError, match=rf"no device '{name}' here. Expected one of: auto"):
            choose_device(name)
