"""Packaging: a run and its calibration become a bundle that can be shared and verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monai_cxr.atomic import write_text
from monai_cxr.bundle.config import (
    CONFIG_NAMES,
    check_targets,
    copy_bundle,
    find_bundle,
    read_config,
    write_config,
)
from monai_cxr.bundle.description import described, installed_versions, with_description
from monai_cxr.bundle.digests import (
    DIGESTS_NAME,
    WEIGHTS_NAME,
    added_exports,
    check_digests,
    model_digest,
    write_digests,
)
from monai_cxr.bundle.engines.by_name import installed
from monai_cxr.bundle.inference import embeds, predict_table
from monai_cxr.bundle.model import (
    CALIBRATION_NAME,
    OPERATING_POINTS_NAME,
    REFERENCE_NAME,
    RUN_NAME,
    BundleModel,
)
from monai_cxr.bundle.presets import without_teacher
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
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
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


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified bundle says of itself.

    Attributes:
        name: Folder name.
        version: Of its metadata.
        digest: SHA-256 of weights, calibration and inference configs.
        n_files: Files compared with their digests.
        findings: Outputs in order.
        methods: Calibration method by finding.
        not_packaged: Exported networks that were added since; they decide nothing.
    """

    name: str
    version: str
    digest: str
    n_files: int
    findings: tuple[str, ...]
    methods: Mapping[str, str]
    not_packaged: tuple[str, ...] = ()


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
    if not ((run / RUN_NAME).is_file() and (run / WEIGHTS_NAME).is_file()):
        raise InvalidBundle(
            f"'{run.name}' is not a trained run: expected {RUN_NAME} and {WEIGHTS_NAME}. Make one "
            "with monai-cxr train, or with MONAI's plain command in a bundle's own folder."
        )
    manifest = json.loads((run / RUN_NAME).read_text(encoding="utf-8"))
    for key in _NAMED_PLACES & manifest["settings"].keys():
        manifest["settings"][key] = Path(str(manifest["settings"][key])).name
    index = run / manifest.pop("index", "index.parquet")
    table = _validation(run, predictions, index)
    ages = known_ages(read_table(index)) if index.is_file() else None
    scored = load_predictions(table)
    config = read_config(run, "train")
    calibrator = (
        fit_calibrator(
            scored,
            split="val",
            training_priors=_priors(manifest),
            positive_weights=manifest.get("loss", {}).get("positive_weights"),
        ).at_prevalence(config.get("prevalence", {}))
        if calibration is None
        else read_calibrator(calibration)
    )
    check_calibrated(calibrator, config["findings"])
    decided = (
        choose_rules(
            calibrator.apply_to(scored),
            criterion or config.get("criterion", DEFAULT_CRITERION),
            alpha=alpha,
        )
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
    text = json.dumps(manifest, indent=2) + "\n"
    write_text(bundle / TRAINING_NAME, text)
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


def _priors(manifest: Mapping[str, Any]) -> dict[str, float]:
    return {name: p for name, p in manifest["training_priors"].items() if p is not None}


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


def verify(bundle: Path) -> Verified:
    """Check a packaged bundle: digests, configs, classes, weights, calibration, one forward pass.

    Where torch is not installed, the bundle's export gives the forward pass, and the classes of
    configs that nothing here can run are not looked up.

    Raises:
        InvalidBundle: Naming what is wrong.
        NotCalibrated: If the calibration does not fit the findings.
    """
    bundle = bundle.resolve()
    digests = check_digests(bundle)
    whole = installed("torch")
    for name in CONFIG_NAMES:
        if whole and f"configs/{name}.json" in digests:
            check_targets(read_config(bundle, name), f"configs/{name}.json")
    runtime = "torch" if whole else "auto"
    model = BundleModel.load(bundle, device="cpu", runtime=runtime, encoder=True)
    if model.calibrator is None:
        raise InvalidBundle(f"The bundle '{bundle.name}' has no {CALIBRATION_NAME}.")
    metadata = read_config(bundle, "metadata")
    try:
        shape = metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]
    except (KeyError, TypeError):
        shape = None
    if shape != [model.image_size] * 2:
        raise InvalidBundle(
            f"metadata.json says an input of {shape}, inference.json of "
            f"{model.image_size} px. Package the run again."
        )
    batch = np.zeros((1, 1, model.image_size, model.image_size), dtype=np.float32)
    logits = model.logits(batch)
    if logits.shape != (1, len(model.findings)) or not np.isfinite(logits).all():
        raise InvalidBundle(
            f"The network gives {logits.shape} with findings {len(model.findings)}; expected one "
            "finite logit a finding."
        )
    return Verified(
        name=bundle.name,
        version=model.identity.version,
        digest=model_digest(digests),
        n_files=len(digests),
        findings=model.findings,
        methods={part.finding: part.method for part in model.calibrator.findings},
        not_packaged=added_exports(bundle, digests),
    )
