"""Reading page: one study on the desk, its prior beside it, the next one already on its way."""

from __future__ import annotations

from typing import Any

import streamlit as st

from clinical_app import components, desk, session
from clinical_app.access import Identity
from clinical_app.service import Service
from monai_cxr.errors import DeliveryError
from monai_cxr.review.cases import Case
from monai_cxr.review.reviews import Review

_KEY = "desk"


def page() -> None:
    """Draw the page."""
    service, who = session.gate("read")
    if st.session_state.pop("leaving", False):
        st.switch_page(st.session_state["pages"]["worklist"])
    case_id = st.session_state.get("case") or st.query_params.get("case", "")
    case = service.case(case_id) if case_id else None
    if case is None:
        _nothing_open(case_id)
        return
    st.session_state["case"] = case.case_id
    st.query_params["case"] = case.case_id
    if st.session_state.get("audited") != case.case_id:
        service.audit(who, "opened", desk.study_uid(case))
        st.session_state["audited"] = case.case_id
    components.viewer(_data(service, case, who), key=_KEY, on_go=_go)


def _data(service: Service, case: Case, who: Identity) -> dict[str, Any]:
    queue: list[str] = st.session_state.get("queue", [])
    place = queue.index(case.case_id) if case.case_id in queue else -1
    following = _first(service, queue[place + 1 :])
    before = _first(service, list(reversed(queue[: max(place, 0)])))
    return {
        "case": _on_desk(service, case, who),
        "next": _on_desk(service, following, who) if following else None,
        "previous": {"id": before.case_id} if before else None,
        "listed": True,
        "idle_seconds": service.settings.idle_minutes * 60,
    }


def _on_desk(service: Service, case: Case, who: Identity) -> dict[str, Any]:
    return desk.with_prior(service, case, who, session.session_id(), _reviews(service, case))


def _reviews(service: Service, case: Case) -> list[Review]:
    try:
        return list(service.store.of_study(desk.study_uid(case)))
    except DeliveryError as error:
        st.toast(str(error))
        return []


def _first(service: Service, case_ids: list[str]) -> Case | None:
    return next((case for name in case_ids if (case := service.case(name)) is not None), None)


def _go() -> None:
    to = st.session_state[_KEY].get("go")
    if to == "":
        st.session_state["leaving"] = True
    elif isinstance(to, str) and to != "lock":
        st.session_state["case"] = to


def _nothing_open(case_id: str) -> None:
    with st.container(key="narrow"):
        st.title("No study is open")
        if case_id:
            st.write("The study of this link is not here (any more). Nothing was lost.")
        st.write("Choose one from the worklist.")
        st.page_link(st.session_state["pages"]["worklist"], label="Open the worklist")
