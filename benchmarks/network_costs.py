"""Sizes and costs of networks beside DenseNet-121, by ``monai-cxr bench``'s own measurement.

    python benchmarks/network_costs.py [--seconds 2] [--json]

Bundles with random weights are made of each, exported to ONNX, and take turns in one run of the
bench. The CPU time a film at batches of 8 stands as a ratio to DenseNet-121 of the same input size;
parity is the largest difference of a logit to torch's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from monai_cxr.bundle.bench.bench import bench
from monai_cxr.bundle.bench.opened import random_bundle
from monai_cxr.bundle.bench.report import Bench
from monai_cxr.bundle.pretrained_register import weights_named
from monai_cxr.demo import NETWORK
from monai_cxr.findings import FINDING_NAMES

EVA = weights_named("eva-x-tiny-cxr14").network
DEMO: dict[str, Any] = {"name": NETWORK["architecture"], "options": NETWORK["network_options"]}
CSRA = {"head": "csra", "head_options": {"strength": 0.2}}
CONTESTANTS: dict[str, tuple[int, dict[str, Any]]] = {
    "densenet121": (224, {"name": "densenet121"}),
    "densenet121_csra": (224, {"name": "densenet121", **CSRA}),
    "densenet121_few_shot": (224, {"name": "densenet121"}),
    "densenet121_stride_16": (224, {"name": "densenet121", "options": {"stride": 16}}),
    "resnet50": (224, {"name": "resnet50"}),
    "eva_x_tiny": (224, dict(EVA)),
    "densenet121_64": (64, {"name": "densenet121"}),
    "small_resnet_64": (64, {"name": "small_resnet"}),
    "demo_64": (64, DEMO),
    "demo_csra_64": (64, {**DEMO, **CSRA}),
}
BATCH = 8


def settings_of(name: str, size: int, network: dict[str, Any]) -> dict[str, Any]:
    built = {"_target_": "monai_cxr.networks.build", "out_channels": 14, "image_size": size}
    if not name.endswith("few_shot"):
        return {"image_size": size, "network_def": {**built, **network}}
    grown = {"_target_": "monai_cxr.networks.grown.grow", "network": {**built, **network}}
    findings = [*FINDING_NAMES, "Added"]
    return {"image_size": size, "findings": findings, "network_def": {**grown, "n_added": 1}}


def tell(found: Bench) -> None:
    rates = {
        Path(one.bundle).name: one
        for one in found.engines
        if one.runtime == "onnx" and one.batch_size == BATCH
    }
    parity = {Path(one.bundle).name: one.change.max_logit_change for one in found.agreement}
    print("| bundle | network | input | parameters, M | ONNX, MB | CPU time, ratio | parity |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for one in found.networks:
        name, size = Path(one.bundle).name, one.image_size
        base = rates["densenet121" if size == 224 else f"densenet121_{size}"]
        ratio = rates[name].cpu_ms / base.cpu_ms
        print(f"| `{name}` | {one.network} | {size} | {one.parameters / 1e6:.1f} | "
              f"{rates[name].file_mb:.1f} | {ratio:.2f} | {parity[name]:.0e} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true", help="Print all that bench says.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        bundles = [
            random_bundle(Path(root) / name, settings_of(name, size, network), ["onnx"])
            for name, (size, network) in CONTESTANTS.items()
        ]
        found = bench(*bundles, seconds=chosen.seconds, n_films=4)
    if chosen.json:
        print(json.dumps(found.to_json()))
    else:
        tell(found)


if __name__ == "__main__":
    main()
