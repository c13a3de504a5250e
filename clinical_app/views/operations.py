"""Operations page: what was not analysed, why, and another try; no film is shown here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import streamlit as st

from clinical_app import session
from clinical_app.service import Service
from monai_cxr.review.cases import Case, CaseStatus
from monai_cxr.review.words import reason_words
from monai_cxr.review.worklist import short_name


def page() -> None:
    """Draw the page."""
    service, who = session.gate("operations")
    with st.container(key="narrow"):
        st.title("Operations")
        cases = service.source.cases()
        waiting = [case for case in cases if case.status is CaseStatus.WAITING]
        held = [case for case in cases if case.refusal is not None]
        failed = [case for case in held if case.status is CaseStatus.FAILED]
        _health(service, len(waiting), len(held), len(failed))
        _strays(service)
        st.header("Quarantine")
        if not held:
            st.write("Nothing is held back: every film that came was analysed or waits.")
            return
        event: Any = st.dataframe(
            [_row(case) for case in held],
            hide_index=True,
            width="stretch",
            on_select="rerun",
            selection_mode="multi-row",
            key="quarantine",
        )
        chosen = [held[i] for i in event.selection.rows if i < len(held)]
        _retry(service, who, chosen or failed, all_failed=not chosen)


def _health(service: Service, waiting: int, held: int, failed: int) -> None:
    tiles = (
        ("Waiting for the model", f"{waiting:,}"),
        ("Held back", f"{held:,}"),
        ("Of these, failed", f"{failed:,}"),
        ("Lines missing in the audit", f"{service.audit_gaps:,}"),
    )
    for column, (name, value) in zip(st.columns(4), tiles, strict=True):
        column.metric(name, value)
    st.caption(f"Source: {service.source.name}")


def _strays(service: Service) -> None:
    strays = service.source.strays()
    if strays:
        st.header("Files that are no film")
        st.dataframe(
            [
                {
                    "When (UTC)": time.strftime("%Y-%m-%d %H:%M", time.gmtime(stray.at)),
                    "Why": reason_words(stray.reason),
                    "In words": stray.sentence,
                    "Came by": stray.door,
                }
                for stray in strays
            ],
            hide_index=True,
            width="stretch",
        )


def _row(case: Case) -> dict[str, str]:
    refusal = case.refusal
    return {
        "Study": short_name(case),
        "State": case.status.value,
        "Why": reason_words(refusal.reason) if refusal else "",
        "In words": refusal.sentence if refusal else "",
    }


def _retry(service: Service, who: Any, cases: Sequence[Case], *, all_failed: bool) -> None:
    label = f"Try {len(cases)} failed again" if all_failed else f"Try {len(cases)} again"
    if st.button(label, disabled=not cases, key="retry"):
        tried = sum(service.source.retry(case.case_id, actor=who.user) for case in cases)
        service.audit(who, "retried")
        st.success(f"{tried} will be tried again.")
