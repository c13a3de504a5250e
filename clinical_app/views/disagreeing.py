"""Disagreeing: readers and model, before and after its word, and reports that say otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from clinical_app import charts, session, tables
from clinical_app.admission.access import Identity
from clinical_app.service import Service
from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.findings import title_of
from monai_cxr.review.cases import Case
from monai_cxr.review.reviews import Review
from monai_cxr.review.watching import monitoring, second_look
from monai_cxr.review.watching.anchoring import Anchoring, anchoring
from monai_cxr.review.watching.second_look import OUTCOME_WORDS, Look
from monai_cxr.review.words import percent
from monai_cxr.screening.ledger.people import second_looks

_LOOKS = 8


def draw(service: Service, who: Identity, reviews: Sequence[Review]) -> None:
    """Readers' agreement, what the model's word changes, and the queue of second looks."""
    rates = monitoring.agreement_rates(reviews)
    if rates:
        judged, agreed = sum(r.n for r in rates), sum(r.count for r in rates)
        _say("well", f"Readers agreed with the model on {agreed:,} of {judged:,} findings.")
        _agreement(rates, reviews)
    else:
        _say("unknown", "Nobody has judged a finding yet (keys a and d on the reading page).")
    _before_and_after(service)
    if service.ledger is not None:
        _second_looks(service, who)


def _say(state: str, words: str) -> None:
    st.html(f"<p class='answer {state}'>{words}</p>")


def _agreement(rates: Sequence[monitoring.Rate], reviews: Sequence[Review]) -> None:
    from clinical_app.views.monitoring import rate_row

    st.markdown("**How often readers agree, by day and by finding**")
    by_day = [(day, share) for day, share, _ in monitoring.agreement_by_day(reviews)][-60:]
    charts.show(charts.by_day(by_day, "agreement", share=True), "day_agreement")
    tables.show([rate_row(rate, "Agreed") for rate in rates])


def _before_and_after(service: Service) -> None:
    """Read first, then reveal: whether the model's word moves readers."""
    points = service.model.operating_points if service.model else {}
    try:
        rows = service.store.words()
    except DeliveryError:
        return  # the page has said so
    made = anchoring(rows, {name: point.threshold for name, point in points.items()})
    if not made.n_first:
        st.caption(
            "No study was read first, so whether scores sway readers is not known. "
            "[viewer.read_first] gives each role a share of such studies."
        )
        return
    st.markdown("**Before and after the model's word**")
    st.write(_moved(made))


def _moved(made: Anchoring) -> str:
    share = made.changed
    words = (
        f"{made.n_changed:,} of {made.n_first:,} findings that were judged first were judged "
        f"differently once the score was shown ({percent(share.estimate)}; {percent(share.low)} to "
        f"{percent(share.high)})."
    )
    for (agreed, n), whose in (
        (made.agreed_unseen, "had not seen the score"),
        (made.agreed_seen, "saw it from the start"),
    ):
        if n:
            words += f" Readers who {whose} agreed with it on {agreed:,} of {n:,}."
    return words


def _second_looks(service: Service, who: Identity) -> None:
    ledger = service.ledger
    if ledger is None or not second_look.n_reports(ledger):
        return
    st.markdown("**Flagged, and the signed report does not say so**")
    looks = second_look.to_look_at(ledger, _LOOKS)
    counts = second_look.outcomes(ledger)
    if counts:
        st.caption(f"Looks so far: {second_look.outcome_words(counts)}.")
    if not looks:
        st.write("No study waits for a second look.")
        return
    if not (who.may("read") and who.may("review")):
        st.write(f"{len(looks)} studies wait for a reader's second look.")
        return
    cases = _open_cases(service, who, {one.study_uid for one in looks})
    for number, one in enumerate(looks):
        _look(one, cases.get(one.study_uid), number)


def _open_cases(service: Service, who: Identity, wanted: set[str]) -> Mapping[str, Case]:
    """Studies by UID; those that this reader is to read first are left out."""
    found = (case for case in service.source.cases() if case.key.study_uid in wanted)
    return {
        case.key.study_uid: case
        for case in found
        if not service.is_hidden(who, case, service.reviews_of(case))
    }


def _look(one: Look, case: Any, number: int) -> None:
    if case is None:
        return  # it was removed, or this reader gives their own word on it first
    words, opened, *outcomes = st.columns([5, 1.4, 1.2, 1.2, 1.8], vertical_alignment="center")
    said = "does not mention it"
    if one.span:  # the words that a rule took for a denial: a reader sees whether they are one
        said = f"rules it out, by the words “{tables.as_written(one.span)}”"
    words.markdown(
        f"**{title_of(one.finding)}**, {percent(one.probability)}, {one.age}; the report {said}"
    )
    opened.link_button("Open", f"?case={case.case_id}", width="stretch")
    for column, (outcome, label) in zip(outcomes, OUTCOME_WORDS.items(), strict=True):
        column.button(
            label,
            key=f"look_{number}_{outcome}_{case.case_id}_{one.finding}",
            on_click=_looked,
            args=(one.study_uid, one.finding, outcome),
            width="stretch",
        )


def _looked(study_uid: str, finding: str, outcome: str) -> None:
    service, who = session.gate("review")
    if service.ledger is None:
        return
    try:
        second_looks.add(service.ledger, study_uid, finding, outcome, actor=who.user)
    except SettingsError as error:
        st.toast(str(error))
