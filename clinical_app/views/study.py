"""Study: one study on the desk, its prior beside it, the next one already on its way."""

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


def desk_page(case_id: str) -> None:
    """Draw one study.

    Args:
        case_id: Which, as the address names it.
    """
    service, who = session.gate("read")
    case = service.case(case_id)
    if case is None:
        _gone()
        return
    st.session_state["case"] = case.case_id
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
        del st.query_params["case"]
    elif isinstance(to, str) and to != "lock":
        st.query_params["case"] = to


def _gone() -> None:
    with st.container(key="narrow"):
        st.title("This study is not here")
        st.write("It was removed, or the link is of another viewer. Nothing was lost.")
        st.button("Open the worklist", on_click=lambda: st.query_params.clear())
