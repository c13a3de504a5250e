"""Dealing: alarms and the person who closes them, signed reports, and what was done before."""

from __future__ import annotations

import streamlit as st

from clinical_app import session, tables
from clinical_app.admission.access import Identity
from clinical_app.service import Service
from monai_cxr.errors import SettingsError
from monai_cxr.review.ledger_cases import answering
from monai_cxr.review.watching import second_look, watched
from monai_cxr.review.watching.watched import InOneSentence, Watched
from monai_cxr.screening.ledger.people.signed_reports import fits_in_words
from monai_cxr.screening.ledger.watching import alarms
from monai_cxr.screening.ledger.watching.alarms import KeptAlarm


def close(service: Service, who: Identity, one: KeptAlarm) -> None:
    """An open alarm, and the form that closes it for those whose role includes that."""
    with st.expander(watched.alarm_title(one), expanded=True):
        if len(one.alarm.charts) > 1:
            st.write("; ".join(watched.alarm_charts(one)))
        if not who.may("acknowledge"):
            st.caption("An operator or an administrator closes it, with what was done.")
            return
        with st.form(f"alarm_{one.id}", border=False):
            st.text_input("What was done", key=f"action_{one.id}", max_chars=200)
            st.text_input("Note (no patient's name)", key=f"note_{one.id}", max_chars=1000)
            st.checkbox(
                "This is the new normal from now on: learn the baseline again",
                key=f"anew_{one.id}",
            )
            st.form_submit_button(
                f"Close the alarm as {who.user}", on_click=_closed, args=(one.id,)
            )


def _closed(number: int) -> None:
    """Close an alarm in the name of whoever is signed in now."""
    service, who = session.gate("acknowledge")
    state = st.session_state
    if service.ledger is None:
        return
    try:
        with answering():
            alarms.acknowledge(
                service.ledger,
                number,
                actor=who.user,
                action=str(state.get(f"action_{number}", "")),
                note=str(state.get(f"note_{number}", "")),
                new_baseline=bool(state.get(f"anew_{number}", False)),
            )
    except SettingsError:
        st.toast("Say what was done; the alarm stays open until then.")


def reports(service: Service) -> None:
    """What the model flags beside what the signed reports state."""
    ledger = service.ledger
    if ledger is None:
        return
    n = second_look.n_reports(ledger)
    if not n:
        st.caption(
            "No signed report was taken in, so performance against readers is not known: "
            "monai-cxr screen reports import."
        )
        return
    rows, fits = second_look.against_reports(ledger)
    of = (
        f"the newest {second_look.MOST_REPORTS:,} of {n:,}"
        if n > second_look.MOST_REPORTS
        else "the"
    )
    title = f"Against {of} signed reports: {fits_in_words(fits)}"
    with st.expander(title, expanded=True):
        tables.show(rows)
        st.caption(
            "Reports are read by rules that make mistakes, and are not the truth. Intervals "
            "count patients."
        )


def history(service: Service, seen: Watched | None) -> None:
    """Models that ran, and alarms that were dealt with."""
    if seen is None or service.ledger is None:
        words = "No alarms are kept here: there is no ledger of a screening service."
        st.html(f"<p class='answer unknown'>{words}</p>")
        return
    said: InOneSentence = watched.what_was_done(seen, second_look.outcomes(service.ledger))
    st.html(f"<p class='answer {said.state}'>{said.words}</p>")
    rows = watched.alarm_rows(seen.alarms)
    if rows:
        tables.show(rows)
