"""Demo: the main job end to end on the embedded phantom, by the same functions as the verbs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monai_cxr.atomic import write_text
from monai_cxr.bundle.explaining import inspection
from monai_cxr.bundle.inference import embeds, predict_table
from monai_cxr.bundle.model import BundleModel, rules_of
from monai_cxr.bundle.packaging import package
from monai_cxr.data.folder import index_folder
from monai_cxr.data.splits import split_by_patient
from monai_cxr.evaluation.calibration.calibrator import (
    fit_calibrator,
    read_calibrator,
    write_calibrator,
)
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.results import EvaluationIdentity, Performance
from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.report.files import write_report
from monai_cxr.report.inspection import ReportExtras
from monai_cxr.tables import columns_array, probability_column, read_table, write_table
from monai_cxr.training.run import workflow

Say = Callable[[str], None]
ProgressBar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

BUNDLE = "chest_xray_classification"

NETWORK: Mapping[str, object] = {
    "architecture": "small_resnet",
    "network_options": {"width": 32, "blocks": [0, 1, 2, 2], "joined": 2},
}
"""Its maps have 16 x 16 cells at 64 px, where a DenseNet-121 has 2 x 2."""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """Sizes at which the demo ends within six minutes on two cores.

    Attributes:
        patients: Phantom patients.
        size: Longer side of a film in pixels.
        image_size: Side of the network input in pixels.
        epochs: Epochs of training.
        batch_size: Films a step.
        learning_rate: Peak of the one-cycle schedule.
        n_bootstrap: Patient bootstrap replicates.
        n_perturbed: Test films that are changed for the robustness curves.
        n_localized: Boxed test films that maps are held against; occlusion takes a second a film.
        severity: Smallest and largest severity of a finding.
        seed: Seed of the archive, the split and the training.
        training: Network and further settings of the training, as ``monai-cxr train --set`` takes
            them.
    """

    patients: int = 1000
    size: int = 320
    image_size: int = 64
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 0.003
    n_bootstrap: int = 1000
    n_perturbed: int = 24
    n_localized: int = 48
    severity: tuple[float, float] = (0.45, 1.0)
    seed: int = 0
    training: Mapping[str, object] = field(default_factory=lambda: dict(NETWORK))


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo ends with.

    Attributes:
        performance: On the test patients, calibrated.
        films: Rows of five test films: a name, then what is likely and what is true.
        bundle: Folder of the packaged bundle.
        report: Path of ``report.html``.
        seconds: Duration by stage.
    """

    performance: Performance
    films: list[tuple[str, ...]]
    bundle: Path
    report: Path
    seconds: Mapping[str, float]

    film_columns = ("most likely findings (calibrated probability)", "drawn into it")

    @property
    def ece_before(self) -> float:
        """Mean over findings, uncalibrated."""
        return self.performance.macro.ece_uncalibrated

    @property
    def ece_after(self) -> float:
        """Mean over findings, calibrated."""
        return self.performance.macro.ece.estimate

    def rows(self) -> list[tuple[object, ...]]:
        """One row per finding: name, positives, AUROC with interval, ECE before and after."""
        return [
            (
                item.finding,
                item.n_positive,
                str(item.auroc),
                item.ece_uncalibrated,
                item.ece.estimate,
            )
            for item in self.performance.findings
        ]

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "performance": self.performance.to_json(),
            "ece": {"before": self.ece_before, "after": self.ece_after},
            "films": self.films,
            "bundle": str(self.bundle),
            "report": str(self.report),
            "seconds": dict(self.seconds),
        }


class _Clock:
    """Says and times the stages."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()
        self._stage = ""

    def stage(self, name: str, text: str) -> None:
        """End the stage before, begin this one."""
        now = time.perf_counter()
        if self._stage:
            self.seconds[self._stage] = round(now - self._began, 1)
        self._stage, self._began = name, now
        if text:
            self.say(text)


def run_demo(out: Path, settings: DemoSettings, *, say: Say, progress: ProgressBar) -> DemoResult:
    """Archive, index, split, train, predict, calibrate, package, evaluate.

    A demo that was stopped goes on where it was; one with other settings begins again.

    Args:
        out: Folder of everything it makes.
        settings: Sizes and seed.
        say: Prints a line.
        progress: Opens a progress bar.

    Returns:
        Numbers and places.
    """
    clock = _Clock(say)
    _begin(out, settings)
    clock.stage("archive", f"1/6  Drawing a phantom archive of {settings.patients} patients")
    index = _indexed_archive(out, settings, progress)
    clock.stage("train", "2/6  Training the bundle by MONAI's plain command")
    _train(out, settings, say)
    clock.stage("predict", "3/6  Predicting the validation and test patients")
    run = BundleModel.load(out / "run")
    scored = {name: _predict(run, index, name, out, progress) for name in ("val", "test")}
    clock.stage("calibrate", "4/6  Calibrating on the validation patients, packaging the bundle")
    validation = load_predictions(scored["val"])
    calibrator = fit_calibrator(validation, split="val")
    write_calibrator(calibrator, out / "calibration.json")
    bundle = out / "bundle"
    package(
        out / "run",
        bundle,
        calibration=out / "calibration.json",
        predictions=out / "predictions_val.parquet",
    )
    clock.stage("evaluate", "5/6  Evaluating the test patients")
    performance = _evaluate(out, bundle, scored["test"], settings)
    extras = _inspect(out, bundle, scored["test"], settings)
    report = write_report(performance, out / "report", extras=extras)[-1]
    clock.stage("films", "6/6  Reading five films with the packaged bundle")
    films = _five_films(bundle, index)
    clock.stage("", "")
    return DemoResult(performance, films, bundle, report, clock.seconds)


def _begin(out: Path, settings: DemoSettings) -> None:
    """Keep what an equal demo left; clear what another left."""
    marker = out / "demo.json"
    wanted = json.loads(json.dumps(asdict(settings)))
    if marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) != wanted:
        for name in ("archive", "run", "bundle", "report"):
            shutil.rmtree(out / name, ignore_errors=True)
    text = json.dumps(wanted, indent=2) + "\n"
    write_text(marker, text)


def _indexed_archive(out: Path, settings: DemoSettings, progress: ProgressBar) -> pd.DataFrame:
    phantom = PhantomSettings(
        n_patients=settings.patients,
        seed=settings.seed,
        size=settings.size,
        severity=settings.severity,
    )
    labels = out / "archive" / "labels.csv"
    if not labels.is_file():
        with progress("films") as report:
            labels = write_dicom_archive(out / "archive", phantom, progress=report)
    index, _ = index_folder(out / "archive", labels)
    index = split_by_patient(index, (0.65, 0.15, 0.2), seed=settings.seed)
    write_table(index, out / "index.parquet")
    return index


def _train(out: Path, settings: DemoSettings, say: Say) -> None:
    command = workflow.prepare_run(
        BUNDLE,
        out / "index.parquet",
        out / "run",
        {
            "image_size": settings.image_size,
            "max_epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "seed": settings.seed,
            **settings.training,
        },
    )
    say(" ".join(command))
    workflow.train(command)


def _predict(
    model: BundleModel, index: pd.DataFrame, split: str, out: Path, progress: ProgressBar
) -> pd.DataFrame:
    rows = index[index["split"] == split].reset_index(drop=True)
    with progress(split) as report:
        table = predict_table(
            model, rows, batch_size=32, embeddings=split == "val" and embeds(model), progress=report
        )
    write_table(table, out / f"predictions_{split}.parquet")
    return table


def _evaluate(out: Path, bundle: Path, test: pd.DataFrame, settings: DemoSettings) -> Performance:
    return evaluate(
        load_predictions(test),
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        calibrator=read_calibrator(out / "calibration.json"),
        identity=_identity(bundle),
        rules=rules_of(bundle),
    )


def _identity(bundle: Path) -> EvaluationIdentity:
    model = BundleModel.load(bundle).identity
    return EvaluationIdentity(
        data="digital chest phantom",
        split="test patients",
        labels="as drawn",
        model={"name": BUNDLE, "version": model.version, "digest": model.digest},
    )


def _inspect(out: Path, bundle: Path, test: pd.DataFrame, settings: DemoSettings) -> ReportExtras:
    """Worst errors, maps against the boxes that were drawn, and changed films."""
    model = BundleModel.load(bundle)
    calibrated = read_calibrator(out / "calibration.json").apply_to(load_predictions(test))
    inspector = inspection.Inspector.of(model, test)
    boxes = read_table(out / "archive" / "truth.csv")
    return ReportExtras(
        method=inspection.map_method(model),
        worst_errors=inspection.worst_errors(inspector, calibrated),
        localization=inspection.localize(
            inspector, calibrated, boxes, n_images=settings.n_localized
        ),
        robustness=inspection.robustness(inspector, calibrated, n_images=settings.n_perturbed),
    )


def _five_films(bundle: Path, index: pd.DataFrame) -> list[tuple[str, ...]]:
    model = BundleModel.load(bundle)
    test = index[index["split"] == "test"].reset_index(drop=True)
    findings = list(model.findings)
    n_findings = test[findings].sum(axis=1)
    order = np.argsort(-n_findings.to_numpy(), kind="stable")
    chosen = test.iloc[[*order[:4], order[-1]]].reset_index(drop=True)
    scores = predict_table(model, chosen)
    rows: list[tuple[str, ...]] = []
    for i in range(len(chosen)):
        columns = [probability_column(name) for name in findings]
        probability = dict(zip(findings, columns_array(scores, columns)[i].tolist(), strict=True))
        likely = sorted(probability, key=lambda name: -probability[name])[:3]
        said = ", ".join(f"{name} {probability[name]:.2f}" for name in likely)
        truth = [name for name in findings if chosen.loc[i, name] == 1]
        rows.append((f"film {i + 1}", said, ", ".join(truth) or "none"))
    return rows
