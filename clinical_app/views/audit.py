"""Audit page: who saw what, for administrators: people first, by person, study and day."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

import streamlit as st

from clinical_app import session
from clinical_app.views import model_changes
from monai_cxr.errors import DeliveryError
from monai_cxr.review.stores import Access, Asked

_ON_A_PAGE = 100
_ON_SCREEN = 18
_PIXELS = 640
"""Height of a table with more lines than that; it scrolls."""


def page() -> None:
    """Draw the page."""
    service, _ = session.gate("audit")
    with st.container(key="narrow"):
        st.title("Audit")
        if service.registry is not None or service.ledger is not None:
            with st.expander("Changes of the model"):
                model_changes.draw(service)
        asked = _asked()
        try:
            lines = service.store.accesses(_ON_A_PAGE + 1, asked)
        except DeliveryError as error:
            st.warning(str(error))
            return
        _show(lines[:_ON_A_PAGE])
        _turn(asked.offset, len(lines))


def _asked() -> Asked:
    """What the administrator chose."""
    who, study, first, last, kind = st.columns([3, 4, 2, 2, 2], vertical_alignment="bottom")
    user = who.text_input("Person", key="audit_user", on_change=_first_page).strip()
    uid = study.text_input("Study Instance UID", key="audit_study", on_change=_first_page).strip()
    begin = first.date_input("From (UTC)", None, key="audit_from", on_change=_first_page)
    end = last.date_input("To (UTC)", None, key="audit_to", on_change=_first_page)
    service_too = kind.checkbox("The service too", key="audit_service", on_change=_first_page)
    return Asked(
        user=user,
        study_uid=uid,
        since=_midnight(begin) if isinstance(begin, date) else -math.inf,
        until=_midnight(end + timedelta(days=1)) if isinstance(end, date) else math.inf,
        only_people=not service_too,
        offset=st.session_state.get("audit_page", 0) * _ON_A_PAGE,
    )


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()


def _show(lines: Sequence[Access]) -> None:
    if not lines:
        st.write("No line of this kind.")
        return
    st.dataframe(
        [
            {
                "When": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(line.at)),
                "Who": line.user,
                "Role": line.role,
                "What": line.action,
                "Study Instance UID": line.study_uid,
            }
            for line in lines
        ],
        hide_index=True,
        width="stretch",
        height=_PIXELS if len(lines) > _ON_SCREEN else "content",
    )


def _turn(offset: int, n: int) -> None:
    """Which lines these are, and the way to newer and older ones."""
    shown = min(n, _ON_A_PAGE)
    newer, older, words = st.columns([1, 1, 6], vertical_alignment="center")
    newer.button("Newer", disabled=offset == 0, on_click=_move, args=(-1,), width="stretch")
    older.button("Older", disabled=n <= _ON_A_PAGE, on_click=_move, args=(1,), width="stretch")
    if shown:
        words.caption(
            f"Lines {offset + 1:,} to {offset + shown:,}, the newest first. Times are UTC."
        )


def _move(by: int) -> None:
    st.session_state["audit_page"] = max(st.session_state.get("audit_page", 0) + by, 0)


def _first_page() -> None:
    st.session_state["audit_page"] = 0
