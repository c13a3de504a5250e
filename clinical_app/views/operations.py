"""Operations page: the queue, what was held back and why with a thumbnail, and another try."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

import streamlit as st

from clinical_app import session, tables
from clinical_app.admission.access import Identity
from clinical_app.service import Service
from monai_cxr.review.cases import Case, CaseStatus
from monai_cxr.review.words import duration, reason_words
from monai_cxr.review.worklist import short_name

_ON_A_PAGE = 10


def page() -> None:
    """Draw the page."""
    service, who = session.gate("operations")
    with st.container(key="narrow"):
        st.title("Operations")
        held = [case for case in service.source.cases() if case.refusal is not None]
        failed = [case for case in held if case.status is CaseStatus.FAILED]
        _health(service, len(held), len(failed))
        _queue(service)
        _quarantine(service, who, held, failed)
        _strays(service)


def _health(service: Service, held: int, failed: int) -> None:
    tiles = (
        ("Held back", f"{held:,}"),
        ("Of these, failed", f"{failed:,}"),
        ("Lines missing from the audit", f"{service.audit_gaps:,}"),
    )
    for column, (name, value) in zip(st.columns(3), tiles, strict=True):
        column.metric(name, value)
    st.caption(f"Source: {tables.as_written(service.source.name)}")
    if service.bundle_changed:
        st.warning("The bundle on disk was changed. Restart the viewer to use the new one.")


def _queue(service: Service) -> None:
    lines = service.source.queue()
    if not lines:
        return
    st.header("Queue")
    tables.show(
        [
            {
                "Work": line.what,
                "Waiting": f"{line.n:,}",
                "Oldest": duration(line.oldest_seconds) if line.n else "-",
            }
            for line in lines
        ]
    )


def _quarantine(
    service: Service, who: Identity, held: Sequence[Case], failed: Sequence[Case]
) -> None:
    st.header("Quarantine")
    if not held:
        st.write("Nothing is held back: every film that came was analysed or waits.")
        return
    pages = -(-len(held) // _ON_A_PAGE)
    number = 1
    top, turn = st.columns([1, 1], vertical_alignment="bottom")
    top.button(
        f"Try all failed again ({len(failed)})",
        disabled=not failed,
        key="retry",
        on_click=_retry,
        args=(service, who, failed),
    )
    if pages > 1:
        number = int(
            turn.number_input(f"Page, 1 to {pages}", 1, pages, 1, key="held_page", width=180)
        )
    for case in held[(number - 1) * _ON_A_PAGE : number * _ON_A_PAGE]:
        _held(service, who, case)
    st.caption("Thumbnails are too small to read a name in them, and carry no identity.")


def _held(service: Service, who: Identity, case: Case) -> None:
    refusal = case.refusal
    if refusal is None:
        return
    token = service.grants.give("thumbnail", case.case_id, session.session_id(), who)
    with st.container(key=f"held_{case.case_id}", border=True):
        picture, words, button = st.columns([1, 6, 1.4], vertical_alignment="center")
        link = escape(service.url("thumbnail", token))
        picture.html(
            "<div class='thumbnail' aria-hidden='true'><span>No picture</span>"
            f"<i style='background-image: url({link})'></i></div>"
        )
        words.markdown(
            f"**{short_name(case)}** · {case.status.value}: {reason_words(refusal.reason)}"
        )
        words.caption(refusal.sentence)
        if case.status is not CaseStatus.FAILED and not service.bundle_changed:
            return  # out of scope: the same model would say the same
        button.button(
            "Try again",
            key=f"retry_{case.case_id}",
            on_click=_retry,
            args=(service, who, [case]),
            width="stretch",
        )


def _strays(service: Service) -> None:
    strays = service.source.strays()
    if strays:
        st.header("Files that are not films")
        tables.show(
            [
                {
                    "When (UTC)": time.strftime("%Y-%m-%d %H:%M", time.gmtime(stray.at)),
                    "Why": reason_words(stray.reason),
                    "In words": stray.sentence,
                    "Came by": stray.door,
                }
                for stray in strays
            ]
        )


def _retry(service: Service, who: Identity, cases: Sequence[Case]) -> None:
    tried = sum(service.source.retry(case.case_id, actor=who.user) for case in cases)
    service.audit(who, "retried")
    st.toast(f"{tried} will be tried again.")
