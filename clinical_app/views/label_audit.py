"""Label audit page: one question per film, blind to the label on file and to the model."""

from __future__ import annotations

import streamlit as st

from clinical_app import components, session

_KEY = "label_audit"


def page() -> None:
    """Draw the page."""
    service, who = session.gate("review")
    if service.label_audit is None:
        with st.container(key="narrow"):
            st.title("No label audit")
            st.write("Start the viewer with the folder of one:")
            st.code("monai-cxr view --label-audit audit", language=None)
        return
    token = service.grants.give("label_audit", "", session.session_id(), who)
    data = {
        "question_url": service.url("label-question", token),
        "answer_url": service.url("label-answer", token),
        "progress_url": service.url("label-progress", token),
        "touch_url": service.url("touch", token),
        "reader": session.reader_id(who),
        "idle_seconds": service.settings.idle_minutes * 60,
    }
    components.questions(data, key=_KEY, on_go=_again)


def _again() -> None:
    """The links are made again, or the session is locked, as the script runs again."""
