"""Fixtures of tables of predictions: real ones and made-up ones."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pandas as pd
import pytest
from evaluation_data import made_up_table

from monai_cxr.evaluation.predictions.prediction_set import PredictionSet, load_predictions
from monai_cxr.findings import FINDING_NAMES


@pytest.fixture(scope="session")
def nih_labels() -> pd.DataFrame:
    """NIH's labels, version 2020, from the tables that torchxrayvision's wheel carries."""
    found = importlib.util.find_spec("torchxrayvision")
    if found is None or found.origin is None:
        pytest.skip("torchxrayvision is not installed: no NIH labels")
    table = pd.read_csv(Path(found.origin).parent / "data" / "Data_Entry_2017_v2020.csv.gz")
    named = table["Finding Labels"].str.split("|")
    for finding in FINDING_NAMES:
        table[finding] = [float(finding in names) for names in named]
    return table


@pytest.fixture(scope="session")
def published(nih_labels: pd.DataFrame) -> PredictionSet:
    """Real predictions of a published model with NIH's labels."""
    default = Path(__file__).parents[3] / "shared" / "data"
    root = Path(os.environ.get("MONAI_CXR_DATA", default))
    path = root / "predictions" / "densenet121_published.csv"
    if not path.is_file():
        pytest.skip("MONAI_CXR_DATA has no predictions/densenet121_published.csv")
    return load_predictions(path, labels=nih_labels)


@pytest.fixture
def table() -> pd.DataFrame:
    return made_up_table()


@pytest.fixture
def predictions(table: pd.DataFrame) -> PredictionSet:
    return load_predictions(table)
