"""Speed verbs: export, bench."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show

if TYPE_CHECKING:
    from monai_cxr.bundle.bench.report import Bench


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(export)
    app.command()(bench)


def export(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Folder of a packaged bundle.")],
    to: Annotated[str, typer.Option("--to", help="torchscript, onnx or openvino.")],
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, fp16 or int8, if the format has it.")
    ] = "fp32",
    films: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="INPUT",
            help="Films, folder or labelled index to compare on and, for int8, to calibrate "
            "with: the train rows of an index calibrate, and its val rows compare. "
            "Repeatable. Default: phantom films.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a bundle's network for another engine into the bundle, and say how close it is.

    The export is compared with the fp32 network film by film. int8 is kept only where the macro
    AUROC moves by less than 0.002 and the mean probability by less than 0.01; otherwise nothing is
    written.

    Example: monai-cxr export demo/bundle --to openvino
    """
    from monai_cxr.bundle.exporting import network as exporting

    if precision == "int8" and not films:
        note("No training films named: int8 is calibrated on phantom films; see --films.")
    with progress("films") as report:
        made = exporting.export(bundle, to, precision, films=films or (), progress=report)
    parity = made.parity
    if json:
        facts = {**asdict(made), "runtime": made.name}
        facts["parity"]["auroc_change"] = parity.auroc_change
        emit({**facts, "bundle": Path(bundle)})
        return
    rows: list[tuple[str, str]] = [
        ("films", f"{parity.n_films} ({parity.films})"),
        ("largest change of a logit", f"{parity.max_logit_change:.2g}"),
        ("largest change of a probability", f"{parity.max_probability_change:.2g}"),
        ("mean change of a probability", f"{parity.mean_probability_change:.2g}"),
    ]
    if parity.auroc_change is not None:
        text = f"{parity.auroc_change:.2g} of {parity.macro_auroc:.4f}"
        rows.append(("change of the macro AUROC", text))
    show(f"{made.name} beside torch fp32", ("measure", "value"), rows)
    for file in made.files:
        say(f"Written: {Path(bundle) / file}")
    say(f"Serve it: monai-cxr predict {bundle} ... --runtime {made.name}")


def bench(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BUNDLE]...",
            help="Several stand in one table, and take turns. Default: a DenseNet-121 with random "
            "weights, for each engine that is installed.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="About how long to measure each engine and batch size.")
    ] = 2.0,
    films: Annotated[
        int, typer.Option(min=4, help="Number of films in the end-to-end measurement.")
    ] = 32,
    json: JsonOption = False,
) -> None:
    """Measure this machine: engines, decoding by transfer syntax, end to end; recommend settings.

    What each network is, and its size, stand above. The result is remembered: from then on
    --runtime auto takes the engine that was fastest here. Of several bundles, decoding, end to end
    and the recommendation are those of the first.

    Example: monai-cxr bench demo/bundle
    """
    from monai_cxr.bundle.bench.bench import bench as measure_engines

    named = bundles or []
    first = named[0] if named else None
    with progress("measurements") as report:
        found = measure_engines(first, *named[1:], seconds=seconds, n_films=films, progress=report)
    if json:
        emit(found.to_json())
        return
    _tell_bench(found, first)


def _tell_bench(found: Bench, bundle: str | None) -> None:
    machine = found.machine
    say(f"{machine.processor}, {machine.cores} cores; load {machine.load:.1f} when it began")
    if machine.load > machine.cores:
        note(
            f"Other work kept this machine busy (load {machine.load:.1f}, {machine.cores} cores): "
            "rates are too low and may mislead. Run bench again when it is idle."
        )
    say(f"Largest measured rate of multiplications: {machine.gflops:.0f} GFLOP/s (fp32)")
    _tell_networks(found)
    show(
        "Reading one film on one core",
        ("file", "ms"),
        [(one.kind, f"{one.ms:.1f}") for one in found.reading],
    )
    show(
        "End to end",
        ("file", "readers", "films/s"),
        [(one.kind, one.readers, f"{one.films_per_second:.1f}") for one in found.end_to_end],
    )
    _tell_agreement(found)
    for name, engine_error in found.unavailable.items():
        note(f"Not measured: {name}: {engine_error}")
    say(f"Recommended: {found.recommendation}")
    first = found.networks[0]
    changes = {one.runtime: one.change for one in found.agreement if one.bundle == first.bundle}
    for name, gain in found.faster.items():
        if name in changes:
            change = changes[name]
            say(
                f"Faster, with other numbers: --runtime {name}, {gain:.1f} times; a probability "
                f"moves by {change.max_probability_change:.2g} at most, by "
                f"{change.mean_probability_change:.2g} in the mean"
            )
    if bundle is not None and first.findings and not any("int8" in name for name in changes):
        say(f"int8 may be faster: monai-cxr export {bundle} --to openvino --precision int8")


def _tell_networks(found: Bench) -> None:
    show(
        "Networks",
        ("bundle", "network", "input, px", "findings", "parameters, M", "GFLOP/film"),
        [
            (one.bundle, one.network, one.image_size, one.findings, f"{one.parameters / 1e6:.2f}",
             f"{one.gflop:.2f}")
            for one in found.networks
        ],
    )  # fmt: skip
    several = len(found.networks) > 1
    show(
        "Engines" if several else f"Network, {found.image_size} px",
        (*["bundle"] * several, "engine", "films at a time", "films/s", "CPU ms/film",
         "share of the fp32 FLOP limit", "file, MB"),
        [
            (*[one.bundle] * several, one.runtime, one.batch_size, f"{one.films_per_second:.1f}",
             f"{one.cpu_ms:.1f}", "-" if one.flop_share is None else f"{one.flop_share:.0%}",
             f"{one.file_mb:.1f}")
            for one in found.engines
        ],
    )  # fmt: skip


def _tell_agreement(found: Bench) -> None:
    several = len(found.networks) > 1
    show(
        "Probabilities beside torch in fp32",
        (*["bundle"] * several, "engine", "largest change", "mean change", "films"),
        [
            (*[one.bundle] * several, one.runtime, f"{one.change.max_probability_change:.1e}",
             f"{one.change.mean_probability_change:.1e}",
             f"{one.change.n_films} ({one.change.films})")
            for one in found.agreement
        ],
    )  # fmt: skip
