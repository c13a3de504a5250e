"""Students: light networks beside their teacher: AUROC, size, cost on one core, and int8.

Usage: python benchmarks/students.py TEACHER STUDENT... --index INDEX [--split test] [--skip-int8]

Each bundle predicts the same films with an ONNX export (made in a copy where it is absent), pinned
to one core. Printed are macro AUROC with its 95 % patient bootstrap interval, the difference to the
teacher on the same replicates, parameters, MB of the ONNX file, CPU ms a film for the network alone
(bundles in turn, so that a slow moment hits all), and what the int8 gate says on val films.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.exports import read_exports
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.tables import read_table

REPLICATES = 500


def macro(logits: np.ndarray, labels: np.ndarray) -> float:
    both = [i for i in range(labels.shape[1]) if {0.0, 1.0} <= set(labels[:, i].tolist())]
    return float(np.mean([auroc(logits[:, i], labels[:, i]) for i in both]))


def replicates(patients: np.ndarray) -> list[np.ndarray]:
    """Rows of each patient bootstrap replicate, the same for every bundle."""
    rng = np.random.default_rng(0)
    names, codes = np.unique(patients, return_inverse=True)
    rows = [np.flatnonzero(codes == i) for i in range(len(names))]
    return [
        np.concatenate([rows[i] for i in rng.integers(0, len(names), len(names))])
        for _ in range(REPLICATES)
    ]


def exported(bundle: Path, folder: Path, index: Path, *, int8: bool) -> tuple[Path, str]:
    """A copy with ONNX in fp32 and, where it passes its gate, in int8; and what the gate said."""
    copy = shutil.copytree(bundle, folder / bundle.name)
    if "onnx" not in {one.name for one in read_exports(copy)}:
        export(copy, "onnx")
    if not int8:
        return copy, "not measured"
    try:
        parity = export(copy, "onnx", "int8", films=[index]).parity
    except SettingsError as error:
        return copy, f"refused: {error}"
    return copy, (
        f"passes: max {parity.max_probability_change:.3f}, mean "
        f"{parity.mean_probability_change:.4f}, AUROC moves by {parity.auroc_change:.4f}"
    )


def cost(models: dict[str, BundleModel], rounds: int = 40) -> dict[str, float]:
    """CPU ms a film by bundle, median; the bundles take turns."""
    rng = np.random.default_rng(0)
    films = {
        name: rng.normal(size=(1, 1, model.image_size, model.image_size)).astype(np.float32)
        for name, model in models.items()
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            start = time.process_time()
            model.runtime.run(films[name])
            times[name].append(1000 * (time.process_time() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+", type=Path, help="the teacher first")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--skip-int8", action="store_true")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    index = read_table(arguments.index)
    rows = index[index["split"] == arguments.split].reset_index(drop=True)
    with tempfile.TemporaryDirectory() as folder:
        models, gates, scores, sizes = {}, {}, {}, {}
        for bundle in arguments.bundles:
            copy, gates[bundle.name] = exported(
                bundle, Path(folder), arguments.index, int8=not arguments.skip_int8
            )
            models[bundle.name] = BundleModel.load(copy, device="cpu", runtime="onnx")
            table = predict_table(models[bundle.name], rows)
            findings = models[bundle.name].findings
            scores[bundle.name] = table[[f"logit_{name}" for name in findings]].to_numpy()
            names = {one.name: one.files[0] for one in read_exports(copy)}
            sizes[bundle.name] = [
                (copy / names[name]).stat().st_size / 1e6 if name in names else float("nan")
                for name in ("onnx", "onnx-int8")
            ]
            if "onnx-int8" in names:
                light = BundleModel.load(copy, device="cpu", runtime="onnx-int8")
                models[f"{bundle.name}, int8"] = light
        costs = cost(models)
        labels = rows[list(findings)].to_numpy(dtype=np.float64)
        samples = replicates(rows["patient_id"].to_numpy())
        first = arguments.bundles[0].name
        print(f"{len(rows)} films of {rows['patient_id'].nunique()} patients, split", end=" ")
        print(f"{arguments.split}; {next(iter(models.values()))}\n")
        print(
            "| bundle | parameters | macro AUROC | minus teacher's | MB | int8 MB | CPU ms | int8 |"
        )
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        drawn = {n: np.array([macro(s[r], labels[r]) for r in samples]) for n, s in scores.items()}
        for bundle in arguments.bundles:
            name = bundle.name
            network = build_network(read_config(bundle, "inference"))
            n = sum(p.numel() for p in network.parameters()) / 1e6
            low, high = np.percentile(drawn[name], (2.5, 97.5))
            least, most = np.percentile(drawn[name] - drawn[first], (2.5, 97.5))
            own = macro(scores[name], labels)
            text = f"{own:.3f} ({low:.3f}-{high:.3f}) | "
            text += f"{own - macro(scores[first], labels):+.3f} ({least:+.3f} to {most:+.3f})"
            size = " | ".join(f"{one:.1f}" for one in sizes[name])
            light = costs.get(f"{name}, int8", float("nan"))
            print(f"| {name} | {n:.1f} M | {text} | {size} | {costs[name]:.1f} | {light:.1f} |")
        print("\nint8 on val films:\n")
        for name, said in gates.items():
            print(f"- {name}: {said}")


if __name__ == "__main__":
    main()
