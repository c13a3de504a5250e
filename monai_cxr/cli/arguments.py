"""Arguments: what several verbs share, and the table that report verbs name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from monai_cxr.evaluation.predictions.prediction_set import PredictionSet

PredictionsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PREDICTIONS",
        help="Parquet file written by predict, or any CSV with an image column and "
        "prob_<finding> or logit_<finding> columns.",
    ),
]
LanguageOption = Annotated[str, typer.Option(help="en, es or de.")]
LexiconOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A lexicon of your own (TOML), instead of --language."),
]
ReportColumnOption = Annotated[
    str, typer.Option(metavar="COLUMN", help="Column of a table that holds the report.")
]
ReportIdOption = Annotated[
    str, typer.Option("--id", metavar="COLUMN", help="Column that names the report.")
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        help="nih (ChestX-ray14 v2020), google2019 (adjudicated), or a table with an image "
        "column, patient_id and one column for each finding (or NIH's Data_Entry CSV)."
        " Default: label_<finding> columns of the predictions."
    ),
]
UncertainOption = Annotated[
    str,
    typer.Option(
        help="How a label of -1 (CheXpert's uncertain) counts: refuse, unknown, absent or present."
    ),
]
BlankOption = Annotated[
    str,
    typer.Option(
        help="How an empty label counts: unknown (left out, and their number stated) or absent."
    ),
]
OneImageOption = Annotated[
    bool,
    typer.Option(
        "--one-image-a-patient",
        help="State that no patient has two images, if the data name no patients.",
    ),
]
CalibrationOption = Annotated[Path | None, typer.Option(help="Apply this calibration.json first.")]
BootstrapOption = Annotated[int, typer.Option(min=0, help="Patient bootstrap replicates.")]
ReaderTimeoutOption = Annotated[
    float,
    typer.Option(metavar="SECONDS", help="Seconds; a film that takes longer to read is refused."),
]
ReaderMemoryOption = Annotated[
    float,
    typer.Option(
        metavar="GIB", help="GiB that each reader may use; a film that takes more is refused."
    ),
]
LabelFloorOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Smallest accepted F1 of a finding's labels, if labels check was run.",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda:0 and so on.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=0, help="Processes that read films. Default: one for each core.")
]
TrackingOption = Annotated[
    str | None, typer.Option(help="mlflow (by MONAI, into RUN/eval) or tensorboard.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Write the run's folder and print the command only.")
]


def scored(
    predictions: Path,
    labels: str | None,
    uncertain: str = "refuse",
    blank: str = "unknown",
    one_image_a_patient: bool = False,
) -> PredictionSet:
    """Predictions aligned with the labels that a user named."""
    from monai_cxr.evaluation.predictions.prediction_set import load_predictions

    truth = None if labels is None else _labels(labels)
    return load_predictions(
        predictions,
        labels=truth,
        uncertain=uncertain,
        blank=blank,
        one_image_a_patient=one_image_a_patient,
    )


def calibrated(predictions: PredictionSet, calibration: Path | None) -> PredictionSet:
    """The same, with the calibration that a user named."""
    from monai_cxr.evaluation.calibration.calibrator import read_calibrator

    return (
        predictions if calibration is None else read_calibrator(calibration).apply_to(predictions)
    )


def _labels(named: str) -> pd.DataFrame:
    from monai_cxr.data.sets import chestxray14
    from monai_cxr.tables import read_table

    if named.casefold() == "nih":
        return chestxray14.read_labels()
    if named.casefold() == "google2019":
        return chestxray14.read_adjudicated()
    table = read_table(Path(named))
    return chestxray14.read_labels(named) if "Finding Labels" in table.columns else table
