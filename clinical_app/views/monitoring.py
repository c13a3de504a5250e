"""Monitoring page: is it still the same films, still as good, who disagrees, what was done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from clinical_app import charts, session, tables
from clinical_app.admission.access import Identity
from clinical_app.service import Service
from clinical_app.views import dealing, disagreeing
from monai_cxr.errors import DeliveryError
from monai_cxr.review.reviews import Review
from monai_cxr.review.watching import drifting, estimating, monitoring, watched
from monai_cxr.review.watching.monitoring import Rate
from monai_cxr.review.watching.watched import InOneSentence, Watched
from monai_cxr.review.words import duration, percent
from monai_cxr.screening.ledger import Ledger

_PERIODS = {"7 days": 7.0, "30 days": 30.0, "90 days": 90.0, "All": math.inf}
_NO_LEDGER = (
    "Charts with memory, alarms and signed reports come with the ledger of a screening service: "
    "start the viewer with its settings (--settings screening.toml). Below is what a folder alone "
    "can show."
)


def page() -> None:
    """Draw the page."""
    service, who = session.gate("monitoring")
    with st.container(key="narrow"):
        st.title("Monitoring")
        cases = service.source.cases()
        reviews = _reviews(service)
        _tiles(monitoring.overview(cases, reviews))
        seen = _watched(service)
        st.header("Is it still the same films?")
        _same_films(service, who, seen, cases)
        st.header("Is it still as good?")
        _as_good(service, cases)
        st.header("Who disagrees?")
        disagreeing.draw(service, who, reviews)
        st.header("What was done?")
        dealing.history(service, seen)
        if who.may("review"):
            token = service.grants.give("reviews", "", session.session_id(), who)
            st.link_button("Reviews as CSV", service.url("reviews", token), disabled=not reviews)


def answer(said: InOneSentence) -> None:
    """An answer in one sentence, before what it rests on."""
    st.html(f"<p class='answer {said.state}'>{escape(said.words)}</p>")


def _watched(service: Service) -> Watched | None:
    if service.ledger is None:
        return None
    try:
        return watched.watch(service.ledger)
    except DeliveryError as error:
        st.warning(str(error))
        return None


def _reviews(service: Service) -> Sequence[Review]:
    try:
        return service.store.reviews()
    except DeliveryError as error:
        st.warning(f"{error} Reviews are left out of what follows.")
        return ()


def _tiles(numbers: monitoring.Overview) -> None:
    turnaround, reading = numbers.median_minutes_to_read, numbers.median_seconds_reading
    tiles = (
        ("Studies", f"{numbers.studies:,}", f"{numbers.waiting:,} waiting for the model"),
        ("Analysed", f"{numbers.analysed:,}", f"{numbers.not_analysed:,} out of scope"),
        ("Failed", f"{numbers.failed:,}", "see Operations"),
        ("Read", f"{numbers.read:,}", "closed by a reader"),
        ("Arrival to read", "-" if math.isnan(turnaround) else duration(turnaround * 60), "median"),
        ("Reading time", "-" if math.isnan(reading) else f"{reading:.0f} s", "median"),
    )
    for column, (name, value, detail) in zip(st.columns(6), tiles, strict=True):
        column.metric(name, value)
        column.caption(detail)


def _same_films(
    service: Service, who: Identity, seen: Watched | None, cases: Sequence[Any]
) -> None:
    if seen is None:
        if service.ledger is None:
            answer(InOneSentence(watched.UNKNOWN, _NO_LEDGER))
    else:
        answer(watched.same_films(seen))
        for one in seen.open_alarms:
            dealing.close(service, who, one)
        _charts(seen)
    volume = monitoring.volume_by_day(cases)[-60:]
    if volume:
        st.markdown("**Studies by day of arrival**")
        charts.show(charts.by_day(volume, "studies", share=False), "day_studies")
    else:
        st.write("No study has arrived yet.")
    _drift(service, cases)
    reasons = [
        {"Not analysed, and why": words.capitalize(), "Kind": kind, "Studies": count}
        for words, kind, count in monitoring.reasons(cases)
    ]
    if reasons:
        tables.show(reasons)


def _charts(seen: Watched) -> None:
    begun = watched.by_nearness(seen.charts)
    if not begun:
        return
    st.markdown("**How close each chart has come to its limit, the closest first**")
    charts.show(charts.nearness(watched.nearness(seen.charts)), "near")
    chosen = st.selectbox(
        "Chart", begun, format_func=lambda one: watched.chart_words(one.name), key="chart"
    )
    marks = [(one.day, one.words) for one in watched.changes(seen)]
    first = chosen.points[0].day.isoformat()
    shown = [mark for mark in marks if mark[0] >= first]
    charts.show(charts.control(watched.chart_lines(chosen), chosen.cusum_limit, shown), "control")
    st.caption(watched.chart_caption(chosen))
    waiting = sorted({one.missing for one in seen.charts if one.missing})
    if waiting:
        n = sum(bool(one.missing) for one in seen.charts)
        st.caption(f"{n} charts have no baseline yet: {waiting[-1]}")


def _drift(service: Service, cases: Sequence[Any]) -> None:
    st.markdown("**Beside the films on which the model was calibrated**")
    if service.model is None:
        st.write("No model is loaded: there is nothing to compare.")
        return
    if not service.references:
        st.write(
            "This bundle carries no reference (docs/reference.json), so drift cannot be measured. "
            "Package the run again with this version to have one."
        )
        return
    period = st.segmented_control(
        "Films that arrived in", list(_PERIODS), default="30 days", required=True, key="period"
    )
    films = drifting.film_predictions(
        cases, service.model.identity.digest, since=drifting.since(_PERIODS[period])
    )
    found = [
        drifting.drift_rows(
            drifting.score_drifts(films, service.references), "Score (log-odds)", digits=2
        ),
        drifting.drift_rows(
            drifting.picture_drifts(films, service.references), "Picture", digits=3
        ),
    ]
    differ = sum(row["Verdict"] == "differs" for rows in found for row in rows)
    with st.expander(f"{len(films)} films; {differ} measures differ", expanded=differ > 0):
        for rows in found:
            tables.show(rows)
        st.caption(
            "The stability index compares the deciles: below 0.1 is small. 'Differs' means neither "
            "small nor due to chance (which explains it once in 1,000 looks); it says that films "
            "or patients have changed, not that the model is wrong."
        )


def _as_good(service: Service, cases: Sequence[Any]) -> None:
    if any(case.prediction is not None for case in cases):
        _flag_rates(service, cases)
    else:
        st.write("The model has not read a study yet.")
    if service.ledger is not None:
        _estimates(service.ledger)
        dealing.reports(service)


def _estimates(ledger: Ledger) -> None:
    """What probabilities alone say of performance; never more than an estimate."""
    st.markdown("**Estimated without labels**")
    try:
        made = estimating.estimated(ledger)
    except DeliveryError:
        return  # the page has said so
    st.caption(estimating.words(made))
    if made.findings:
        with st.expander("What the probabilities imply, finding by finding"):
            tables.show(estimating.rows(made))


def _flag_rates(service: Service, cases: Sequence[Any]) -> None:
    points = service.model.operating_points if service.model else {}
    rates = monitoring.flag_rates(cases, points)
    differ = [rate.name for rate in rates if rate.verdict == "differs"]
    known = [rate for rate in rates if rate.verdict in ("as expected", "differs")]
    if differ:
        words = f"Take a look: flagged more or less often than expected: {', '.join(differ)}."
        answer(InOneSentence(watched.LOOK, words))
    elif known:
        words = (
            f"Each of {len(known)} findings is flagged about as often as its threshold predicts."
        )
        answer(InOneSentence(watched.WELL, words))
    else:
        answer(InOneSentence(watched.UNKNOWN, _few(rates)))
    with st.expander("How often each finding is flagged", expanded=bool(differ)):
        tables.show([rate_row(rate, "Flagged") for rate in rates])
        st.caption(
            "Expected: from the operating point and the prevalence of the data that chose it. "
            "'Differs' asks for a look, at the films first: another mix of patients is flagged "
            "at another rate."
        )


def _few(rates: Sequence[Rate]) -> str:
    if not rates:
        return "No model with thresholds is loaded, so no rate is expected."
    n = max(rate.n for rate in rates)
    return f"Not known yet: {n} studies were scored; a share of flags needs {monitoring.ENOUGH}."


def rate_row(rate: Rate, word: str) -> dict[str, str]:
    """A rate as a row of a table."""
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
