"""Monitoring page: does the model still behave: volume, failures, flag rates, agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from clinical_app import charts, session, tables
from clinical_app.service import Service
from monai_cxr.errors import DeliveryError
from monai_cxr.review import drifting, monitoring
from monai_cxr.review.monitoring import Rate
from monai_cxr.review.reviews import Review
from monai_cxr.review.words import duration, percent

_PERIODS = {"7 days": 7.0, "30 days": 30.0, "90 days": 90.0, "All": math.inf}


def page() -> None:
    """Draw the page."""
    service, who = session.gate("monitoring")
    with st.container(key="narrow"):
        st.title("Monitoring")
        cases = service.source.cases()
        reviews = _reviews(service)
        _tiles(monitoring.overview(cases, reviews))
        left, right = st.columns(2, gap="large")
        with left:
            st.header("Studies by day of arrival")
            volume = monitoring.volume_by_day(cases)[-60:]
            if volume:
                charts.show(charts.by_day(volume, "studies", share=False), "day_studies")
            else:
                st.write("No study has arrived yet.")
        with right:
            st.header("Agreement of readers by day")
            agreement = [(day, share) for day, share, _ in monitoring.agreement_by_day(reviews)][
                -60:
            ]
            if agreement:
                charts.show(charts.by_day(agreement, "agreement", share=True), "day_agreement")
            else:
                st.write("Nobody has judged a finding yet (keys a and d on the reading page).")
        _drift(service, cases)
        _flag_rates(service, cases)
        _agreement(reviews)
        _reasons(cases)
        if who.may("review"):
            st.header("Export")
            token = service.grants.give("reviews", "", session.session_id(), who)
            st.link_button("Reviews as CSV", service.url("reviews", token), disabled=not reviews)


def _reviews(service: Service) -> Sequence[Review]:
    try:
        return service.store.reviews()
    except DeliveryError as error:
        st.warning(f"{error} What follows knows of no review.")
        return ()


def _tiles(numbers: monitoring.Overview) -> None:
    turnaround, reading = numbers.median_minutes_to_read, numbers.median_seconds_reading
    tiles = (
        ("Studies", f"{numbers.studies:,}", f"{numbers.waiting:,} waiting for the model"),
        ("Analysed", f"{numbers.analysed:,}", f"{numbers.not_analysed:,} out of scope"),
        ("Failed", f"{numbers.failed:,}", "see Operations"),
        ("Read", f"{numbers.read:,}", "closed by a reader"),
        (
            "Arrival to read",
            "-" if math.isnan(turnaround) else duration(turnaround * 60),
            "median",
        ),
        ("Reading time", "-" if math.isnan(reading) else f"{reading:.0f} s", "median"),
    )
    for column, (name, value, detail) in zip(st.columns(6), tiles, strict=True):
        column.metric(name, value)
        column.caption(detail)


def _drift(service: Service, cases: Sequence[Any]) -> None:
    st.header("Drift of scores and pictures")
    if service.model is None:
        st.write("No model is loaded: there is nothing to compare.")
        return
    if not service.references:
        st.write(
            "This bundle carries no reference (docs/reference.json), so drift cannot be told. "
            "Package the run again with this version to have one."
        )
        return
    period = st.segmented_control(
        "Films that arrived in",
        list(_PERIODS),
        default="30 days",
        required=True,
        key="period",
    )
    films = drifting.film_predictions(
        cases, service.model.identity.digest, since=drifting.since(_PERIODS[period])
    )
    scores = drifting.score_drifts(films, service.references)
    pictures = drifting.picture_drifts(films, service.references)
    for rows in (
        drifting.drift_rows(scores, "Score (log-odds)", digits=2),
        drifting.drift_rows(pictures, "Picture", digits=3),
    ):
        tables.show(rows)
    st.caption(
        "Beside the films on which the model was calibrated. The stability index compares the "
        "deciles: below 0.1 is small. 'Differs' is neither small nor chance (999 of 1,000 looks); "
        "it says that films or patients changed, not that the model is wrong."
    )


def _flag_rates(service: Service, cases: Sequence[Any]) -> None:
    st.header("How often each finding is flagged")
    if not any(case.prediction is not None for case in cases):
        st.write("The model has not read a study yet.")
        return
    points = service.model.operating_points if service.model else {}
    rates = monitoring.flag_rates(cases, points)
    tables.show([_row(rate, "Flagged") for rate in rates])
    st.caption(
        "Expected: from the operating point and the prevalence of the data that chose it. "
        "'Differs' asks for a look, at the films first: another mix of patients flags otherwise."
    )


def _agreement(reviews: Sequence[Review]) -> None:
    rates = monitoring.agreement_rates(reviews)
    if rates:
        st.header("How often readers agree")
        tables.show([_row(rate, "Agreed") for rate in rates])


def _reasons(cases: Sequence[Any]) -> None:
    rows = [
        {"Why": words.capitalize(), "Kind": kind, "Studies": count}
        for words, kind, count in monitoring.reasons(cases)
    ]
    if rows:
        st.header("Not analysed, and why")
        tables.show(rows)


def _row(rate: Rate, word: str) -> dict[str, str]:
    known = rate.n > 0
    row = {
        "Finding": rate.name,
        word: f"{rate.count:,} of {rate.n:,}",
        "Share (95 %)": f"{percent(rate.share.estimate)} ({percent(rate.share.low)} to "
        f"{percent(rate.share.high)})"
        if known
        else "-",
    }
    if not math.isnan(rate.expected):
        row["Expected"] = percent(rate.expected)
    row["Verdict"] = rate.verdict
    return row
