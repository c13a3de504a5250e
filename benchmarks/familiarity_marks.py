"""Rates of the marks of single films: unlike those of training, and of an age outside of it.

python benchmarks/familiarity_marks.py BUNDLE NAME=INDEX[:SPLIT] NAME=FOLDER ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from monai_cxr.bundle.inference import input_table, predict_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.monitoring.familiarity import AGE_OUTSIDE, UNLIKE


def films_of(place: str) -> pd.DataFrame:
    """Rows of a folder, or of an index (with ``:SPLIT``, of one split of it)."""
    path, _, split = place.partition(":")
    rows = input_table([Path(path)], [])
    return rows[rows["split"] == split].reset_index(drop=True) if split else rows


def rate(table: pd.DataFrame, mark: str, known: pd.Series) -> str:
    """Share of the films that carry a mark, with Wilson's interval."""
    marked = table.loc[known, "flags"].str.split(";").map(lambda flags: mark in flags)
    if marked.empty:
        return "-"
    interval = wilson(int(marked.sum()), len(marked))
    low, high = (f"{100 * value:.1f}" for value in (interval.low, interval.high))
    return f"{marked.sum()} of {len(marked)}: {100 * marked.mean():.1f} % ({low} to {high})"


def main() -> None:
    """Predict each set of films and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("sets", nargs="+", metavar="NAME=PLACE")
    options = parser.parse_args()
    model = BundleModel.load(options.bundle)
    films, ages = model.familiarity.films, model.familiarity.ages
    known = f"{films.n_films} films, limit {films.limit:.2f}" if films else "no films"
    print(known, f"; ages {ages.lowest:g} to {ages.highest:g}" if ages else "; no ages")
    print("| films | read | unlike_training | age_outside_training |\n|---|--:|---|---|")
    for one in options.sets:
        name, _, place = one.partition("=")
        table = predict_table(model, films_of(place), workers=1)
        read = table["reason"] == ""
        aged = read & table["age"].notna()
        marks = rate(table, UNLIKE, read), rate(table, AGE_OUTSIDE, aged)
        print(f"| {name} | {read.sum()} of {len(table)} | {marks[0]} | {marks[1]} |", flush=True)


if __name__ == "__main__":
    main()
