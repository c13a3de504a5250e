"""Architectures: does each network by name build, learn and export, with one and three channels?

    python benchmarks/architectures.py [--size 64] [NAME ...]

For each: its parameters; whether one step of AdamW reaches every weight with a finite gradient,
with one channel and with three; which of a few input sizes it takes; and the largest difference of
the logits of its TorchScript and ONNX exports to torch's, for a batch of another size. Ends with 1
if one fails. The weights are random: nothing is said about how well it learns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from monai_cxr.bundle.engines.observed import ObservedNetwork
from monai_cxr.bundle.exporting.formats import file_names, write_network
from monai_cxr.errors import SettingsError
from monai_cxr.networks import NETWORKS, build
from monai_cxr.training.losses import FindingLoss

N_FINDINGS = 3
SIZES = (28, 64, 96, 100, 224)


def one_step(name: str, channels: int, size: int) -> str:
    """Empty, or what is wrong with a step of training."""
    torch.manual_seed(0)
    network = build(name, channels, N_FINDINGS, image_size=size).train()
    labels = torch.tensor([[0.0, 1.0, float("nan")], [1.0, 0.0, 1.0]])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loss = FindingLoss(labels, "none")(network(torch.randn(2, channels, size, size)), labels)
    loss.backward()
    still = [key for key, weight in network.named_parameters() if weight.grad is None]
    broken = [
        key
        for key, weight in network.named_parameters()
        if weight.grad is not None and not weight.grad.isfinite().all()
    ]
    optimizer.step()
    finite = all(bool(weight.isfinite().all()) for weight in network.parameters())
    if still or broken or not finite:
        return f"{channels} channels: no gradient {still[:2]}, not finite {broken[:2]}"
    return ""


def sizes(name: str) -> Iterator[int]:
    """The sizes that it takes; shapes alone, without arithmetic."""
    for size in SIZES:
        try:
            with torch.device("meta"), torch.no_grad():
                network = build(name, 1, N_FINDINGS, image_size=size).eval()
                network(torch.zeros(2, 1, size, size))
        except SettingsError:
            continue
        yield size


def difference(network: torch.nn.Module, size: int, format_name: str) -> float:
    """Largest difference of an export's logits to torch's, for a batch of another size."""
    import onnxruntime

    films = torch.randn(5, 1, size, size)
    with torch.no_grad():
        expected = network(films).numpy()
    with tempfile.TemporaryDirectory() as folder:
        observed = ObservedNetwork(network, size).eval()
        write_network(observed, size, Path(folder), format_name, "fp32", films.numpy())
        path = str(Path(folder) / file_names(format_name, "fp32")[0])
        if format_name == "onnx":
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            found = session.run(None, {"image": films.numpy()})[0]
        else:
            found = torch.jit.load(path)(films)[0].detach().numpy()
    return float(np.abs(found - expected).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="Default: all.")
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    print(
        "| network | parameters, M | step | sizes | TorchScript | ONNX |\n|---|--:|---|---|--:|--:|"
    )
    failed = 0
    for name in options.names or NETWORKS:
        trouble = [one_step(name, channels, options.size) for channels in (1, 3)]
        told = "; ".join(filter(None, trouble)) or "ok"
        torch.manual_seed(1)
        network = build(name, 1, N_FINDINGS, image_size=options.size).eval()
        millions = sum(weight.numel() for weight in network.parameters()) / 1e6
        apart = [difference(network, options.size, kind) for kind in ("torchscript", "onnx")]
        failed += told != "ok" or max(apart) > 1e-3
        taken = ", ".join(map(str, sizes(name)))
        print(
            f"| `{name}` | {millions:.1f} | {told} | {taken} | {apart[0]:.0e} | {apart[1]:.0e} |",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
