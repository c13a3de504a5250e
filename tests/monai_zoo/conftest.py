"""A bundle as a zoo's download would be, and its network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_cxr.bundle.config import copy_bundle, read_config
from monai_cxr.bundle.digests import write_digests
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.evaluation.calibration.calibrator import (
    training_weights_calibrator,
    write_calibrator,
)


@pytest.fixture(scope="module")
def bundle(source, tmp_path_factory) -> Path:
    """A copy with random weights and a calibration of its own, as a zoo's download would be."""
    copy = tmp_path_factory.mktemp("zoo") / source.name
    copy_bundle(source, copy, {})
    config = read_config(copy, "inference")
    torch.manual_seed(0)
    (copy / "models").mkdir()
    torch.save(build_network(config).state_dict(), copy / "models" / "model.pt")
    calibrator = training_weights_calibrator(
        {name: 2.0 + number for number, name in enumerate(config["findings"])}
    )
    write_calibrator(calibrator, copy / "models" / "calibration.json")
    write_digests(copy)
    return copy


@pytest.fixture(scope="module")
def network(bundle) -> torch.nn.Module:
    network = build_network(read_config(bundle, "inference")).eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    return network
