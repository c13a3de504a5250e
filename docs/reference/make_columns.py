"""Write columns.md, the reference of the columns of the index and the predictions.

    python docs/reference/make_columns.py

A test fails while the page and the code differ; a column without a meaning is a KeyError.
"""

from __future__ import annotations

from pathlib import Path

from monai_cxr.evaluation.predictions.column_names import (
    FACT_ALIASES,
    IMAGE_COLUMNS,
    PATIENT_COLUMNS,
)
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import (
    CORRECTED_BY,
    EMBEDDING_COLUMN,
    INDEX_COLUMNS,
    QUALITY_COLUMNS,
    SPLITS,
    cam_column,
    disagreement_column,
    label_column,
    logit_column,
    probability_column,
)

PAGE = Path(__file__).with_name("columns.md")
HEAD = """# Columns of tables

This page is written from the code by `python docs/reference/make_columns.py`.

Tables are parquet or CSV. The index says which films there are; the predictions say what a model made of
them. One row is one film in both.
"""
PREDICTIONS = """The columns of the index come first, without its labels. Then:
"""
OTHERS = """`evaluate`, `calibrate`, `thresholds` and `compare` take the tables of other software. They find these
columns, whatever the case, spaces and underscores ([scores and labels](../how-to/evaluate-a-csv.md)):
"""
INDEX = {
    "path": "Where the file lies.",
    "patient_id": "The patient. Splits and intervals are by patient, so it is required.",
    "study_uid": "Study Instance UID (0020,000D), or empty.",
    "series_uid": "Series Instance UID (0020,000E), or empty.",
    "sop_uid": "SOP Instance UID (0008,0018), or the image's name. Each occurs once.",
    "view": "View position: PA, AP, LATERAL, OBLIQUE or UNKNOWN.",
    "age": "Age of the patient in years, or empty.",
    "sex": "M, F, O or empty.",
    "follow_up": "Number of the film within the patient's series, as NIH counts it, or empty.",
    "manufacturer": "Manufacturer (0008,0070), or empty.",
    "split": f"One of {', '.join(SPLITS)}, or empty before `monai-cxr split`.",
}
QUALITY = {
    "quality_clipped_fraction": "Share of the pixels that are pure black or pure white.",
    "quality_padding_fraction": "Share of the pixels that are padding.",
    "quality_border_fraction": "Share of the picture that is a uniform border.",
    "quality_entropy_bits": "Entropy of the gray levels in bits.",
    "quality_inversion_suspicion": "How much brighter the corners are than the centre.",
    "quality_mean": "Mean of the pixels, from 0 to 1.",
    "quality_standard_deviation": "Standard deviation of the pixels, from 0 to 1.",
}
FINDING = "<finding>"
AFTER = [
    (logit_column(FINDING), "The network's raw output."),
    (probability_column(FINDING), "Calibrated probability from 0 to 1; only where the bundle is calibrated."),
    (disagreement_column(FINDING), "Standard deviation of the members' log odds; only of an ensemble."),
    (label_column(FINDING), "1 present, 0 absent, empty unknown; only where the input was a labelled index."),
    (CORRECTED_BY, "The overlay that corrected the film's labels; only where the index has it."),
    (EMBEDDING_COLUMN, "Pooled features, float32 of shape (C,); only with `--embeddings`, in parquet."),
    (cam_column(FINDING), "Class activation map, float32, row by row; only with `--cam`, in parquet."),
    ("model_digest", "SHA-256 of weights and calibration."),
    ("runtime", "Engine and precision, such as `torch-cpu-fp32`."),
]  # fmt: skip


def page() -> str:
    """The whole page."""
    index = [(name, INDEX[name]) for name in INDEX_COLUMNS]
    labels = [
        ("one column a finding", f"1 present, 0 absent, empty unknown. Names: {', '.join(FINDING_NAMES)}, or your own."),
        (CORRECTED_BY, "Optional: the overlay that corrected the film's labels."),
    ]  # fmt: skip
    outcome = [
        ("reason", "Empty where the film was scored; else a code ([reasons](reasons.md))."),
        ("message", "The reason in a sentence."),
        ("flags", "Cautions, separated by semicolons ([flags](reasons.md#flags))."),
    ]
    spellings = [("image", ", ".join(IMAGE_COLUMNS)), ("patient", ", ".join(PATIENT_COLUMNS))]
    spellings += [(name, ", ".join(names)) for name, names in FACT_ALIASES.items()]
    lines = [
        *(HEAD, "## Index", "", *_table(index + labels)),
        *("", "## Predictions", "", PREDICTIONS),
        *_table([*outcome, *((name, QUALITY[name]) for name in QUALITY_COLUMNS), *AFTER]),
        *("", "## Tables of others", "", OTHERS),
        *_table(spellings, "what", "names, in the order in which they are tried"),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _table(
    rows: list[tuple[str, str]], first: str = "column", second: str = "meaning"
) -> list[str]:
    cells = [f"| {_name(name)} | {text.replace('|', chr(92) + '|')} |" for name, text in rows]
    return [f"| {first} | {second} |", "|---|---|", *cells]


def _name(name: str) -> str:
    return name if " " in name or name in ("image", "patient") else f"`{name}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
