from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from evaluation_data import made_up_table

from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.review.performance_file import PerformanceFile
from monai_cxr.review.trade import curve_points, trade_at


def test_copies_of_films_are_no_evidence():
    """Five copies of each film make no interval of a threshold narrower."""
    table = made_up_table(40)
    copies = pd.concat([table.assign(sop_uid=table["sop_uid"] + f".{i}") for i in range(5)])
    made = []
    for films in (table, copies):
        performance = evaluate(load_predictions(films.reset_index(drop=True)), n_bootstrap=0)
        file = PerformanceFile(performance, Path("performance.json"))
        points = curve_points(file, "Mass")
        made.append(trade_at(file, "Mass", points[len(points) // 2], 0.1))
    once, five_times = made
    assert five_times.sensitivity.low <= once.sensitivity.low + 1e-9
    assert five_times.ppv.high - five_times.ppv.low >= 0.9 * (once.ppv.high - once.ppv.low)
    assert five_times.ppv.estimate == pytest.approx(once.ppv.estimate)
