"""Study: one study on the desk, its prior beside it, the next one already on its way."""

from __future__ import annotations

from typing import Any

import streamlit as st

from clinical_app import components, session
from clinical_app.admission.access import Identity
from clinical_app.comparison import with_priors
from clinical_app.service import Service
from monai_cxr.errors import DeliveryError
from monai_cxr.review.cases import Case
from monai_cxr.review.reviews import Review
from monai_cxr.review.worklist import study_name

_KEY = "desk"
_MOST_QUEUED = 400
_MOST_DRAFTS = 20


def desk_page(case_id: str) -> None:
    """Draw one study.

    Args:
        case_id: Which, as the address names it.
    """
    service, who = session.gate("read")
    case = service.case(case_id, session.owner(who))
    if case is None:
        _gone()
        return
    st.session_state["case"] = case.case_id
    if st.session_state.get("audited") != case.case_id:
        service.opened(who, session.session_id(), study_name(case), again=True)
        st.session_state["audited"] = case.case_id
    components.viewer(_data(service, case, who), key=_KEY, on_go=_go, on_kept=_kept)


def _data(service: Service, case: Case, who: Identity) -> dict[str, Any]:
    queue: list[str] = st.session_state.get("queue", [])
    place = queue.index(case.case_id) if case.case_id in queue else -1
    coming = _some(service, queue[place + 1 :] if place >= 0 else [], 2)
    before = _some(service, list(reversed(queue[: max(place, 0)])), 1)
    drafts = _some(service, st.session_state.get("drafts", []), _MOST_DRAFTS)
    ahead = [_on_desk(service, one, who) for one in coming]
    return {
        "case": _on_desk(service, case, who),
        "next": ahead[0] if ahead else None,
        "after": ahead[1] if len(ahead) > 1 else None,
        "previous": {"id": before[0].case_id} if before else None,
        "drafts": [_on_desk(service, one, who) for one in drafts],
        "queued": place >= 0,
        "listed": True,
        "reader": session.reader_id(who),
        "idle_seconds": service.settings.idle_minutes * 60,
    }


def _on_desk(service: Service, case: Case, who: Identity) -> dict[str, Any]:
    return with_priors(service, case, who, session.session_id(), _reviews(service, case))


def _reviews(service: Service, case: Case) -> list[Review]:
    try:
        return service.reviews_of(case)
    except DeliveryError as error:
        st.toast(str(error))
        return []


def _some(service: Service, case_ids: list[str], most: int) -> list[Case]:
    """The first few of some cases that are still here."""
    found: list[Case] = []
    for name in case_ids:
        case = service.source.case(name) if len(found) < most else None
        if case is not None:
            found.append(case)
    return found


def _go() -> None:
    to = st.session_state[_KEY].get("go")
    if to == "":
        service, who = session.gate("read")
        service.presence.reads(who.user, session.session_id(), "")
        del st.query_params["case"]
    elif isinstance(to, str) and to != "lock" and not to.startswith("refresh"):
        st.query_params["case"] = to


def _kept() -> None:
    """What a tab kept through a reload: the list it came from, and studies with unsaved words."""
    kept = st.session_state[_KEY].get("kept")
    if not isinstance(kept, dict):
        return
    for name, most in (("queue", _MOST_QUEUED), ("drafts", _MOST_DRAFTS)):
        ids = kept.get(name)
        if isinstance(ids, list) and ids:
            st.session_state[name] = [str(case_id)[:40] for case_id in ids[:most]]


def _gone() -> None:
    with st.container(key="narrow"):
        st.title("This study is not here")
        st.write("It was removed, or the link belongs to another viewer. Nothing was lost.")
        st.button("Open the worklist", on_click=lambda: st.query_params.clear())
