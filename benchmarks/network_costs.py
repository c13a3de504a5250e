"""Sizes and costs of networks beside DenseNet-121: parameters, bytes of the export, CPU time.

    python benchmarks/network_costs.py [--rounds 9]

All have random weights, run in ONNX Runtime on one thread, and take turns; the time is CPU time for
a batch of 8, as a ratio to DenseNet-121 of the same input size in the same round. Parity is the
largest difference of a logit to torch's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from monai_cxr.bundle.engines.observed import observed
from monai_cxr.bundle.exporting.formats import file_names, write_network
from monai_cxr.bundle.pretrained_register import weights_named
from monai_cxr.demo import NETWORK
from monai_cxr.networks import build
from monai_cxr.networks.grown import grow

EVA = weights_named("eva-x-tiny-cxr14").network
DEMO: dict[str, Any] = {"name": NETWORK["architecture"], "options": NETWORK["network_options"]}
CSRA = {"head": "csra", "head_options": {"strength": 0.2}}
CONTESTANTS: dict[str, tuple[int, dict[str, Any]]] = {
    "DenseNet-121": (224, {"name": "densenet121"}),
    "the same, class attention": (224, {"name": "densenet121", **CSRA}),
    "the same, a finding added by few-shot": (224, {"name": "densenet121"}),
    "DenseNet-121, stride 16": (224, {"name": "densenet121", "options": {"stride": 16}}),
    "ResNet-50": (224, {"name": "resnet50"}),
    "EVA-X-Ti": (224, dict(EVA)),
    "DenseNet-121 ": (64, {"name": "densenet121"}),
    "small_resnet": (64, {"name": "small_resnet"}),
    "small_resnet of the demo": (64, DEMO),
    "the same, class attention ": (64, {**DEMO, **CSRA}),
}
BATCH = 8


def session_of(name: str, size: int, settings: dict[str, Any], folder: Path) -> tuple[Any, ...]:
    """A call that runs a batch, parameters, bytes of the export, and its parity."""
    torch.manual_seed(0)
    network = build(image_size=size, **settings)
    network = (grow(network, 1) if "few-shot" in name else network).eval()
    films = torch.randn(BATCH, 1, size, size)
    write_network(observed(network, size).eval(), size, folder, "onnx", "fp32", films.numpy())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    paths = [folder / one for one in file_names("onnx", "fp32")]
    session = onnxruntime.InferenceSession(paths[0], options, providers=["CPUExecutionProvider"])

    def run() -> Any:
        return session.run(None, {"image": films.numpy()})[0]

    with torch.no_grad():
        parity = float(np.abs(run() - network(films).numpy()).max())
    n_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return run, sum(p.numel() for p in network.parameters()), n_bytes, parity


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    made = {}
    with tempfile.TemporaryDirectory() as root:
        for name, (size, settings) in CONTESTANTS.items():
            folder = Path(root) / str(len(made))
            folder.mkdir()
            made[name] = session_of(name, size, settings, folder)
    times: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, (run, *_) in made.items():
            began = time.process_time()
            run()
            times[name].append(time.process_time() - began)
    print("| network | input | parameters, M | ONNX, MB | CPU time, ratio | parity |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, (size, _) in CONTESTANTS.items():
        first = next(one for one, (other, _) in CONTESTANTS.items() if other == size)
        ratios = np.array(times[name]) / np.array(times[first])
        _, n, n_bytes, parity = made[name]
        print(
            f"| {name.strip()} | {size} | {n / 1e6:.1f} | {n_bytes / 1e6:.1f} | "
            f"{np.median(ratios):.2f} ({ratios.min():.2f}-{ratios.max():.2f}) | {parity:.0e} |"
        )


if __name__ == "__main__":
    main()
