"""Packaging: a run and its calibration become a bundle that can be shared and verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from monai_cxr.atomic import write_text
from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config, write_config
from monai_cxr.bundle.description import described, installed_versions, with_description
from monai_cxr.bundle.digests import DIGESTS_NAME, WEIGHTS_NAME, check_digests, write_digests
from monai_cxr.bundle.inference import embeds, predict_table
from monai_cxr.bundle.model import (
    CALIBRATION_NAME,
    OPERATING_POINTS_NAME,
    REFERENCE_NAME,
    RUN_NAME,
    BundleModel,
)
from monai_cxr.bundle.presets import without_teacher
from monai_cxr.bundle.verification import Verified, verify
from monai_cxr.errors import InvalidBundle, NotCalibrated, SettingsError
from monai_cxr.evaluation.calibration.calibrator import (
    Calibrator,
    fit_calibrator,
    read_calibrator,
    write_calibrator,
)
from monai_cxr.evaluation.decisions.decision_rules import (
    DecisionRules,
    choose_rules,
    read_rules,
    write_rules,
)
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet, load_predictions
from monai_cxr.evaluation.results import Performance
from monai_cxr.monitoring.drift import references_of, write_references
from monai_cxr.monitoring.familiarity import Familiarity, KnownAges, known_ages, known_films
from monai_cxr.report.model_card import with_performance
from monai_cxr.tables import EMBEDDING_COLUMN, read_table

DEFAULT_CRITERION = "sensitivity>=0.90"
DEFAULT_ALPHA = 0.1
TRAINING_NAME = "models/training.json"

_PLACES = {"bundle_root": ".", "initial_weights": ""}
_NAMED_PLACES = {"initial_weights", "teacher"}


def package(
    run: Path,
    out: Path,
    *,
    calibration: Path | None = None,
    criterion: str | None = None,
    alpha: float | None = DEFAULT_ALPHA,
    rules: Path | None = None,
    predictions: Path | None = None,
) -> Verified:
    """Make a bundle of a run's best epoch.

    Args:
        run: A folder made by ``monai-cxr train``.
        out: Folder of the bundle; it must not exist, or be one made before (it is replaced).
        calibration: A file of ``monai-cxr calibrate``; None fits one on the run's val split.
        criterion: Rule of the operating points; None takes the run's own.
        alpha: Promised error of the conformal rules, in (0, 1); None makes none.
        rules: A file of ``monai-cxr thresholds``, carried whole; None chooses operating points and
            conformal rules on the run's val split and keeps a sketch of its patients.
        predictions: The run's predictions of its val split; None computes them.

    Returns:
        What :func:`verify` says of the bundle.

    Raises:
        InvalidBundle: If ``run`` is not a finished run, or what it makes does not verify.
        NotCalibrated: If the calibration lacks a finding.
        SettingsError: If ``out`` is something else than a bundle; it stays as it is, as it does
            after any other error. Or if ``rules`` is no file of rules.
    """
    run = run.resolve()
    manifest = _manifest(run)
    index = run / manifest.pop("index", "index.parquet")
    table = _validation(run, predictions, index)
    ages = known_ages(read_table(index)) if index.is_file() else None
    scored = load_predictions(table)
    config = read_config(run, "train")
    calibrator = (
        _fitted(scored, manifest, config) if calibration is None else read_calibrator(calibration)
    )
    check_calibrated(calibrator, config["findings"])
    chosen_by = criterion or config.get("criterion", DEFAULT_CRITERION)
    decided = (
        choose_rules(calibrator.apply_to(scored), chosen_by, alpha=alpha)
        if rules is None
        else read_rules(rules)
    )
    with staged_bundle(out) as staging:
        _fill(staging, run, calibrator, decided)
        describe(staging)
        write_reference(staging, table, scored.findings, ages)
        finish_package(staging, manifest)
        verified = verify(staging)
    return replace(verified, name=out.name)


@contextmanager
def staged_bundle(out: Path) -> Iterator[Path]:
    """Give a folder to fill; it takes the place of ``out`` if no error ends the filling.

    Args:
        out: Folder of the bundle; it must not exist, or be a bundle.

    Raises:
        SettingsError: If ``out`` is something else.
    """
    out = out.resolve()
    if out.exists() and not _replaceable(out):
        raise SettingsError(
            f"'{out.name}' is not a bundle, so it is not replaced. Choose another --out."
        )
    staging, old = (out.with_name(f".{out.name}.{what}") for what in ("partial", "old"))
    try:
        shutil.rmtree(staging, ignore_errors=True)
        yield staging
        if out.exists():
            out.replace(old)
        staging.replace(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def finish_package(bundle: Path, manifest: Mapping[str, Any]) -> None:
    """Write what a filled bundle says of itself: how it was trained, its metadata, its digests."""
    write_text(bundle / TRAINING_NAME, json.dumps(manifest, indent=2) + "\n")
    _describe(bundle, manifest)
    write_digests(bundle)


def write_reference(
    bundle: Path, table: pd.DataFrame, findings: Sequence[str], ages: KnownAges | None
) -> None:
    """Write how the val films were: for drift, and for marks of films and ages that are unlike.

    Args:
        bundle: Folder of the bundle.
        table: Predictions of split val; films are known by their embeddings, if it has them.
        findings: Names.
        ages: Of the training patients, where known.
    """
    films = (
        known_films(table[EMBEDDING_COLUMN].to_list(), table["patient_id"].to_list())
        if EMBEDDING_COLUMN in table
        else None
    )
    known = Familiarity(films, ages).content
    write_references(references_of(table, findings), bundle / REFERENCE_NAME, known)


def training_manifest(bundle: Path) -> dict[str, Any]:
    """How a packaged bundle says that it was trained; empty where it does not say."""
    path = bundle / TRAINING_NAME
    manifest: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return manifest


def write_card(bundle: Path | str, performance: Performance) -> Path:
    """Put the numbers of an evaluation into a packaged bundle's ``docs/README.md``.

    Args:
        bundle: Folder of a packaged bundle; its digests are checked first and renewed after.
        performance: Of this bundle.

    Returns:
        The README.

    Raises:
        InvalidBundle: If the bundle is not packaged, or a file of it was changed.
    """
    folder = find_bundle(bundle)
    check_digests(folder)
    readme = folder / "docs" / "README.md"
    old = readme.read_text(encoding="utf-8") if readme.is_file() else f"# {folder.name}\n"
    text = with_performance(old, performance)
    write_text(readme, text)
    write_digests(folder)
    return readme


def _manifest(run: Path) -> dict[str, Any]:
    """How a run was trained, without the places of this machine."""
    if not ((run / RUN_NAME).is_file() and (run / WEIGHTS_NAME).is_file()):
        raise InvalidBundle(
            f"'{run.name}' is not a trained run: expected {RUN_NAME} and {WEIGHTS_NAME}. Make one "
            "with monai-cxr train, or with MONAI's plain command in a bundle's own folder."
        )
    manifest: dict[str, Any] = json.loads((run / RUN_NAME).read_text(encoding="utf-8"))
    for key in _NAMED_PLACES & manifest["settings"].keys():
        manifest["settings"][key] = Path(str(manifest["settings"][key])).name
    return manifest


def _replaceable(out: Path) -> bool:
    return out.is_dir() and ((out / DIGESTS_NAME).is_file() or not any(out.iterdir()))


def _fill(staging: Path, run: Path, calibrator: Calibrator, rules: DecisionRules) -> None:
    # Where this machine keeps its files is nobody else's business.
    own = read_config(run, "train")
    places = {key: value for key, value in _PLACES.items() if key in own}
    copy_bundle(run, staging, places | without_teacher(own))
    (staging / "models").mkdir(parents=True)
    shutil.copy2(run / WEIGHTS_NAME, staging / WEIGHTS_NAME)
    write_calibrator(calibrator, staging / CALIBRATION_NAME)
    write_rules(rules, staging / OPERATING_POINTS_NAME)


def _validation(run: Path, predictions: Path | None, index_path: Path) -> pd.DataFrame:
    if predictions is not None:
        table = read_table(predictions)
    else:
        index = read_table(index_path)
        rows = index[index["split"] == "val"].reset_index(drop=True)
        model = BundleModel.load(run)
        table = predict_table(model, rows, embeddings=embeds(model))
    if "split" in table:
        table = table[table["split"].isin(["val", ""])]
    return table


def _fitted(
    scored: PredictionSet, manifest: Mapping[str, Any], config: Mapping[str, Any]
) -> Calibrator:
    """A calibration on the val split, which knows how the run was trained."""
    priors = {name: p for name, p in manifest["training_priors"].items() if p is not None}
    weights = manifest.get("loss", {}).get("positive_weights")
    calibrator = fit_calibrator(
        scored, split="val", training_priors=priors, positive_weights=weights
    )
    return calibrator.at_prevalence(config.get("prevalence", {}))


def check_calibrated(calibrator: Calibrator, findings: Sequence[str]) -> None:
    """Refuse a calibration that lacks a finding, and say the way out.

    A run of a version that trained outputs without labels has them still.
    """
    known = {part.finding for part in calibrator.findings}
    missing = [name for name in findings if name not in known]
    if missing:
        rest = ",".join(name for name in findings if name in known)
        raise NotCalibrated(
            f"The calibration lacks {', '.join(missing)}, for which no film of val has a label. "
            "Give a --calibration that has them, or train only what is labelled: monai-cxr train "
            f"--from RUN --set findings={rest}."
        )


def describe(bundle: Path) -> None:
    """Let the metadata and the README of a trained bundle say what its train config is."""
    train = read_config(bundle, "train")
    metadata = described(read_config(bundle, "metadata"), train)
    write_config(bundle, "metadata", metadata)
    readme = bundle / "docs" / "README.md"
    if readme.is_file():
        text = with_description(readme.read_text(encoding="utf-8"), metadata, train)
        write_text(readme, text)


def _describe(bundle: Path, manifest: Mapping[str, Any]) -> None:
    """State in the metadata what the package holds; each fact stands in its own file."""
    metadata = read_config(bundle, "metadata") | installed_versions()
    metadata["calibration"] = CALIBRATION_NAME
    metadata["operating_points"] = OPERATING_POINTS_NAME
    metadata["training"] = TRAINING_NAME
    metadata["preprocessing"] = {
        name: read_config(bundle, "inference")[name] for name in ("image_size", "resize")
    }
    metadata["training_data"] = manifest["data"]
    write_config(bundle, "metadata", metadata)
