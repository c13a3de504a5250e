"""Worklist page: studies by urgency and waiting time, live, on keys; an open study in its place."""

from __future__ import annotations

import streamlit as st

from clinical_app import components, session
from clinical_app.views import study

_KEY = "worklist"


def page() -> None:
    """Draw the list, or the study that the address names."""
    case_id = st.query_params.get("case", "")
    if case_id:
        study.desk_page(case_id)
        return
    service, who = session.gate("worklist")
    token = service.grants.give("worklist", "", session.session_id(), who)
    data = {
        "url": service.url("worklist", token),
        "touch_url": service.url("touch", token),
        "chosen": st.session_state.get("case", ""),
        "reader": session.reader_id(who),
        "idle_seconds": service.settings.idle_minutes * 60,
        "empty": f"No studies yet in the {service.source.name}. They appear here as they arrive.",
    }
    components.worklist(data, key=_KEY, on_open=_open)


def _open() -> None:
    opened = st.session_state[_KEY].get("open")
    if not isinstance(opened, dict) or not opened.get("id"):
        return
    st.query_params["case"] = str(opened["id"])
    st.session_state["queue"] = [str(case_id) for case_id in opened.get("queue", ())]
