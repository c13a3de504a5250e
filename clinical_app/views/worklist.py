"""Worklist page: studies by urgency and waiting time, live, on keys."""

from __future__ import annotations

import streamlit as st

from clinical_app import components, session

_KEY = "worklist"


def page() -> None:
    """Draw the page."""
    service, who = session.gate("worklist")
    if st.session_state.pop("opening", False):
        st.switch_page(st.session_state["pages"]["read"])
    token = service.grants.give("worklist", "", session.session_id(), who)
    chosen = st.session_state.get("case", "")
    data = {"url": f"/cxr/worklist/{token}", "chosen": chosen}
    components.worklist(data, key=_KEY, on_open=_open)


def _open() -> None:
    opened = st.session_state[_KEY].get("open")
    if not isinstance(opened, dict) or not opened.get("id"):
        return
    st.session_state["case"] = str(opened["id"])
    st.session_state["queue"] = [str(case_id) for case_id in opened.get("queue", ())]
    st.session_state["opening"] = True
