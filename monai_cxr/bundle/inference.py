"""Inference: many files or an index to the predictions table; bad inputs get a reason code."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cxr.bundle.engines.runtime import available_cores
from monai_cxr.bundle.predictor import BatchScores, Predictor
from monai_cxr.errors import InvalidBundle, InvalidTable
from monai_cxr.folders import path_text
from monai_cxr.reading.film_input import PreparedFilm
from monai_cxr.reading.film_readers import Film, read_ahead
from monai_cxr.reading.in_order import in_order
from monai_cxr.reading.listing import film_paths
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS, ReaderLimits
from monai_cxr.tables import (
    CORRECTED_BY,
    EMBEDDING_COLUMN,
    FACT_COLUMNS,
    KEY_COLUMNS,
    QUALITY_COLUMNS,
    cam_column,
    disagreement_column,
    fact_values,
    label_column,
    logit_column,
    normalise_index,
    probability_column,
    read_table,
)

_TABLE_SUFFIXES = (".parquet", ".csv")
_CHUNK = 512
"""Rows of a part of the predictions table."""

_THREADS = 2
_NO_VALUES = np.empty(0, dtype=np.float32)


def input_table(inputs: Sequence[Path], findings: Sequence[str]) -> pd.DataFrame:
    """What a user named, as rows with a ``path``: files, folders, or index tables.

    Args:
        inputs: Files, folders (searched with their subfolders) or index tables.
        findings: Labels to keep from an index.

    Raises:
        InvalidTable: If a named input is absent, or there is no film at all.
    """
    parts: list[pd.DataFrame] = []
    for entry in inputs:
        if entry.suffix in _TABLE_SUFFIXES and entry.is_file():
            parts.append(normalise_index(read_table(entry), findings))
        elif entry.is_dir():
            parts.append(_paths(sorted(film_paths(entry))))
        elif entry.is_file():
            parts.append(_paths([entry]))
        else:
            raise InvalidTable(
                f"The input '{entry.name}' does not exist. Name films, folders or an index.",
                reason="missing_file",
            )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"path": []})
    if table.empty:
        raise InvalidTable(
            "No film found in the inputs. Expected DICOM, PNG, JPEG, TIFF or NIfTI files.",
            reason="no_images",
        )
    return table.drop_duplicates("path", ignore_index=True)


def _paths(paths: Sequence[Path]) -> pd.DataFrame:
    """Paths as they open the files: a name that is not UTF-8 is not a string of Arrow's."""
    return pd.DataFrame({"path": pd.Series([str(path) for path in paths], dtype=object)})


def predict_table(
    model: Predictor,
    inputs: pd.DataFrame,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    embeddings: bool = False,
    cam: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Predict every input; one row each, in order.

    Args:
        model: A bundle or an ensemble.
        inputs: Rows with a ``path``, and whatever an index adds.
        batch_size: Films at a time; None for what suits the engine.
        workers: Child processes that read ahead; None takes one per core. 0 reads in threads of
            this process, which a fault in a decoder then ends.
        embeddings: Also give each film's pooled features.
        cam: Also give each film's class activation maps.
        progress: Called with (done, total).

    Returns:
        ``path``, the key and facts, ``reason`` (empty where the film was read, else a stable
        code), ``message``, ``flags``, ``quality_*`` (NaN where it was not read), ``logit_*``,
        ``probability_*`` (only when calibrated), ``disagreement_*`` (only of an ensemble),
        ``label_*`` (only from an index), ``embedding`` and ``cam_*`` (only when asked for; float32
        arrays, empty where the film was not read; a map row by row, its two sides equal),
        ``model_digest``, ``runtime``.
    """
    chunks = predict_chunks(
        model,
        inputs,
        batch_size=batch_size,
        workers=workers,
        embeddings=embeddings,
        cam=cam,
        progress=progress,
    )
    return pd.concat(list(chunks), ignore_index=True)


def predict_chunks(
    model: Predictor,
    inputs: pd.DataFrame,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    embeddings: bool = False,
    cam: bool = False,
    progress: Callable[[int, int], None] | None = None,
    limits: ReaderLimits = DEFAULT_LIMITS,
) -> Iterator[pd.DataFrame]:
    """Predict every input, some rows at a time, in order: memory does not grow with the archive.

    Args:
        model: See :func:`predict_table`.
        inputs: Rows with a ``path``, and whatever an index adds.
        batch_size: Films at a time; None for a number that suits the engine.
        workers: Child processes that read ahead; None for one per core, 0 for threads.
        embeddings: Whether to give the pooled features of each film.
        cam: Whether to give the class activation maps of each film.
        progress: Called with (done, total).
        limits: What one film may cost a child process.

    Yields:
        Parts of the table of :func:`predict_table`, all with the same columns.

    Raises:
        InvalidBundle: If the network has no embedding or no maps, and they are asked for.
    """
    batch_size = batch_size or model.batch_size
    most = available_cores() if workers is None else workers or _THREADS
    readers = max(min(most, len(inputs)), 1)
    films = read_ahead(
        (Path(path) for path in inputs["path"]),
        model.specs,
        workers=readers,
        ahead=2 * batch_size + 2 * readers,
        processes=workers != 0,
        limits=limits,
    )
    extras = [name for name, wanted in (("embeddings", embeddings), ("cam", cam)) if wanted]
    labelled = [name for name in model.findings if name in inputs and inputs[name].notna().any()]
    rows: list[dict[str, object]] = []
    done = 0
    with closing(films), closing(_scored(model, films, batch_size, extras)) as batches:
        for batch in batches:
            rows += batch
            done += len(batch)
            if progress is not None:
                progress(done, len(inputs))
            if len(rows) >= _CHUNK or done >= len(inputs):
                part = inputs.iloc[done - len(rows) : done].reset_index(drop=True)
                yield _assemble(model, part, pd.DataFrame(rows), labelled, extras)
                rows = []


def _scored(
    model: Predictor, films: Iterator[Film], batch_size: int, extras: Sequence[str]
) -> Generator[list[dict[str, object]], None, None]:
    """Rows of one batch after the other, at least of one; the next is begun before one is done."""

    def score(batch: Sequence[Film]) -> list[dict[str, object]]:
        return _rows(model, batch, extras)

    batches = iter(lambda: list(islice(films, batch_size)), [])
    batches = chain([next(batches, [])], batches)
    at_once = model.batches_at_once
    return in_order(score, batches, workers=at_once, ahead=at_once, name="film-batch")


def _rows(
    model: Predictor, films: Sequence[Film], extras: Sequence[str]
) -> list[dict[str, object]]:
    """A row per film; those that were read go through the model together."""
    prepared = [film for film in films if isinstance(film, PreparedFilm)]
    scored: Iterator[dict[str, object]] = iter(())
    marks: Iterator[tuple[str, ...]] = iter(())
    if prepared:
        inputs = [np.stack([film.inputs[i] for film in prepared]) for i in range(len(model.specs))]
        scores = model.score(inputs)
        scored = _scores(model, scores, extras)
        marks = iter(model.familiarity.film_marks(scores.embeddings, len(prepared)))
    return [
        {
            **fact_values(replace(film.facts, flags=film.facts.flags + next(marks))),
            **{"reason": "", "message": ""},
            **next(scored),
        }
        if isinstance(film, PreparedFilm)
        else {"reason": film.reason, "message": film.message}
        for film in films
    ]


def _scores(
    model: Predictor, scores: BatchScores, extras: Sequence[str]
) -> Iterator[dict[str, object]]:
    for name in extras:
        if getattr(scores, name) is None:
            what = "embedding" if name == "embeddings" else "class activation map"
            raise InvalidBundle(
                f"The network of '{model.identity.name}' has no {what}: it does not end in one "
                "linear layer on pooled features, or its export was made without. Leave it out."
            )
    for i in range(len(scores.logits)):
        row: dict[str, object] = {
            logit_column(name): value
            for name, value in zip(model.findings, scores.logits[i].tolist(), strict=True)
        }
        if model.calibrated:
            for name, value in zip(model.findings, scores.probabilities[i].tolist(), strict=True):
                row[probability_column(name)] = value
        if scores.disagreement is not None:
            for name, value in zip(model.findings, scores.disagreement[i].tolist(), strict=True):
                row[disagreement_column(name)] = value
        if "embeddings" in extras and scores.embeddings is not None:
            row[EMBEDDING_COLUMN] = scores.embeddings[i]
        if "cam" in extras and scores.cam is not None:
            for name, values in zip(model.findings, scores.cam[i], strict=True):
                row[cam_column(name)] = values.ravel()
        yield row


def _assemble(
    model: Predictor,
    inputs: pd.DataFrame,
    found: pd.DataFrame,
    labelled: Sequence[str],
    extras: Sequence[str],
) -> pd.DataFrame:
    """Columns in order; what an index states of identity and facts goes before the header's."""
    columns: dict[str, object] = {"path": inputs["path"].map(path_text)}
    for name in (*KEY_COLUMNS, *FACT_COLUMNS, "split"):
        own = inputs[name].where(inputs[name] != "") if name in inputs else None
        read = found[name] if name in found else pd.Series([None] * len(found), dtype=object)
        value = read if own is None else own.where(own.notna(), read)
        numeric = name in ("age", "follow_up")
        columns[name] = (
            pd.to_numeric(value).astype("float64") if numeric else value.fillna("").astype(str)
        )
    for name in ("reason", "message", "flags"):
        columns[name] = found[name].fillna("").astype(str) if name in found else ""
    if "flags" in found:
        columns["flags"] = _with_age_marks(model, columns)
    for name in QUALITY_COLUMNS:
        columns[name] = found.get(name, np.nan)
    kinds = [logit_column] + ([probability_column] if model.calibrated else [])
    for column in kinds:
        for finding in model.findings:
            name = column(finding)
            columns[name] = found.get(name, np.nan)
    differing = [disagreement_column(finding) for finding in model.findings]
    for name in (one for one in differing if one in found):
        columns[name] = found[name]
    for finding in labelled:
        columns[label_column(finding)] = inputs[finding]
    if CORRECTED_BY in inputs:
        columns[CORRECTED_BY] = inputs[CORRECTED_BY].fillna("").astype(str)
    arrays = [EMBEDDING_COLUMN] if "embeddings" in extras else []
    arrays += [cam_column(finding) for finding in model.findings] if "cam" in extras else []
    for name in arrays:
        values = found[name] if name in found else [None] * len(found)
        columns[name] = [one if isinstance(one, np.ndarray) else _NO_VALUES for one in values]
    columns["model_digest"] = model.identity.digest
    columns["runtime"] = model.identity.runtime
    return pd.DataFrame(columns, index=inputs.index)


def _with_age_marks(model: Predictor, columns: Mapping[str, object]) -> list[str]:
    """Flags, with that of an age (an index's goes first) that is unlike the training patients'."""
    rows = zip(*(pd.Series(columns[name]) for name in ("flags", "age", "reason")), strict=True)
    return [
        ";".join((*filter(None, [flags]), *(() if reason else model.familiarity.age_marks(age))))
        for flags, age, reason in rows
    ]


def embeds(model: Predictor) -> bool:
    """Whether a model gives embeddings: its network ends in one linear layer on pooled features."""
    empty = [np.zeros((1, 1, spec.size, spec.size), np.float32) for spec in model.specs]
    return model.score(empty).embeddings is not None
