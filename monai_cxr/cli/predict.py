"""Predict verb: films to a predictions table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.arguments import DeviceOption, ReaderMemoryOption, ReaderTimeoutOption
from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show

if TYPE_CHECKING:
    import pandas as pd

    from monai_cxr.bundle.predictor import Predictor

_MANY = 100
"""Films for which a faster engine is worth a word."""


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(predict)


def predict(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="Folder of a bundle or run, or a bundle's name.")
    ],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Films, folders, or an index.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Predictions: .parquet or .csv.")],
    split: Annotated[
        str | None, typer.Option(help="Only the rows of an index that belong to this split.")
    ] = None,
    device: DeviceOption = "auto",
    runtime: Annotated[
        str,
        typer.Option(
            help="auto (the fastest engine on this machine, in fp32 or in bf16 that is "
            "close to it), torch, onnx, openvino, or one of these with a precision, "
            "for example torch-bf16 or openvino-int8."
        ),
    ] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Films at a time. Default: a number that suits the engine."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that read ahead. Default: one for each core. 0: threads of this "
            "process, which a film can then crash.",
        ),
    ] = None,
    ensemble_with: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="BUNDLE", help="Average with this bundle; repeatable."),
    ] = None,
    tta: Annotated[
        str | None,
        typer.Option(help="Test-time augmentation: none, shift, or flip (mirrors the film)."),
    ] = None,
    decoding: Annotated[
        str,
        typer.Option(
            help="exact, or reduced: JPEG 2000 at lower resolution, several times faster, within a "
            "stated tolerance."
        ),
    ] = "exact",
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Add each film's pooled features (parquet).")
    ] = False,
    cam: Annotated[
        bool, typer.Option("--cam", help="Add a class activation map for each finding (parquet).")
    ] = False,
    reader_timeout: ReaderTimeoutOption = 60.0,
    reader_memory: ReaderMemoryOption = 4.0,
    json: JsonOption = False,
) -> None:
    """Predict films; a film that cannot be read gets a reason code, and the others are scored.

    BUNDLE may be a JSON file of an ensemble: {"members": ["a", "b"], "tta": "shift"}.

    The exit status is 1 when no input could be scored; the table is written all the same.

    Example: monai-cxr predict demo/bundle film.dcm folder/ --out predictions.parquet
    """
    from monai_cxr.bundle.ensemble import load_predictor
    from monai_cxr.bundle.inference import predict_chunks
    from monai_cxr.errors import SettingsError
    from monai_cxr.labels.check import carry_check
    from monai_cxr.reading.reader_limits import ReaderLimits
    from monai_cxr.reading.reader_template import start_template
    from monai_cxr.tables import write_chunks

    if (embeddings or cam) and out.suffix != ".parquet":
        raise SettingsError(f"Arrays need parquet: expected --out *.parquet, got '{out.name}'.")
    if workers != 0:
        start_template()  # readers get ready while the model is loaded
    paths = [bundle, *(ensemble_with or ())]
    model = load_predictor(
        paths, device=device, runtime=runtime, tta=tta, decoding=decoding, encoder=True
    )
    table = _films(inputs, model, split)
    counts: Counter[str] = Counter()
    with progress("films", rate=True) as report:
        chunks = predict_chunks(
            model,
            table,
            batch_size=batch_size,
            workers=workers,
            embeddings=embeddings,
            cam=cam,
            progress=report,
            limits=ReaderLimits(reader_timeout, reader_memory),
        )
        write_chunks(_counted(chunks, counts), out)
    for entry in inputs:
        carry_check(entry, out)
    n_scored = counts.pop("", 0)
    _tell(model, len(table), n_scored, counts, out, json=json)
    if n_scored == 0:
        reasons = ", ".join(reason for reason, _ in counts.most_common())
        note(f"monai-cxr: no input was scored ({reasons}). '{out.name}' says why, film by film.")
        raise typer.Exit(1)


def _films(inputs: list[Path], model: Predictor, split: str | None) -> pd.DataFrame:
    """A row a film; of an index, those of the split that was asked for."""
    from monai_cxr.bundle.inference import input_table
    from monai_cxr.errors import InvalidTable

    table = input_table(inputs, model.findings)
    if split is None:
        return table
    table = table[table["split"] == split] if "split" in table else table.head(0)
    if table.empty:
        raise InvalidTable(f"No input belongs to split '{split}'.", reason="no_split")
    return table.reset_index(drop=True)


def _tell(
    model: Predictor, n_films: int, n_scored: int, counts: Counter[str], out: Path, *, json: bool
) -> None:
    if json:
        films = {"n_scored": n_scored, "not_scored": dict(counts.most_common())}
        emit({**films, "model": asdict(model.identity), "out": out})
        return
    show("Predictions", ("result", "films"), [("scored", n_scored), *counts.most_common()])
    say(f"Model: {model.identity.name}, {model.identity.runtime}")
    _tell_engine(model, n_films)
    say(f"Predictions: {out}")


def _tell_engine(model: Predictor, n_films: int) -> None:
    """Say how far the engine is from fp32, or which one would be faster."""
    change = getattr(model, "change", None)
    if change is not None:
        say(
            f"Beside fp32 a probability changes by at most {change.max_probability_change:.2g} "
            f"(mean {change.mean_probability_change:.2g}; {change.n_films} films, {change.films})."
        )
    elif n_films >= _MANY and model.identity.runtime == "torch-cpu-fp32":
        note(
            "Faster on this CPU: export the bundle once with: monai-cxr export BUNDLE --to "
            "openvino (pip install 'monai-cxr[openvino]')."
        )


def _counted(chunks: Iterator[pd.DataFrame], counts: Counter[str]) -> Iterator[pd.DataFrame]:
    """Count the reasons of what passes."""
    for chunk in chunks:
        counts.update(chunk["reason"])
        yield chunk
