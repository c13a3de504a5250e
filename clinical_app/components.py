"""Components: what is drawn by the browser itself, from the files that the wheel carries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from clinical_app.javascript import joined

FRONTEND = Path(__file__).with_name("frontend")
VIEWER = FRONTEND / "viewer" / "main.js"
QUESTIONS = FRONTEND / "questions" / "main.js"
WORKLIST = FRONTEND / "worklist.js"


def _style(name: str) -> str:
    return (FRONTEND / name).read_text(encoding="utf-8")


def viewer(
    data: dict[str, Any], *, key: str, on_go: Callable[[], None], on_kept: Callable[[], None]
) -> None:
    """The reading desk.

    Args:
        data: See :mod:`clinical_app.desk`.
        key: Of the component in ``st.session_state``.
        on_go: Finds the case to open in ``st.session_state[key]["go"]``.
        on_kept: Finds in ``st.session_state[key]["kept"]`` what the tab kept through a reload.
    """
    mount = st.components.v2.component(
        "cxr_viewer", html='<div class="desk"></div>', css=_style("viewer.css"), js=joined(VIEWER)
    )
    mount(key=key, data=data, on_go_change=on_go, on_kept_change=on_kept)


def worklist(data: dict[str, Any], *, key: str, on_open: Callable[[], None]) -> None:
    """The worklist; ``on_open`` finds the case and its queue in ``st.session_state[key]``."""
    mount = st.components.v2.component(
        "cxr_worklist",
        html='<div class="worklist"></div>',
        css=_style("worklist.css"),
        js=joined(WORKLIST),
    )
    mount(key=key, data=data, on_open_change=on_open)


def questions(data: dict[str, Any], *, key: str, on_go: Callable[[], None]) -> None:
    """The questions of a label audit; ``on_go`` runs when the page asks for new links."""
    mount = st.components.v2.component(
        "cxr_questions",
        html='<div class="desk questions"></div>',
        css=_style("viewer.css") + _style("questions.css"),
        js=joined(QUESTIONS),
    )
    mount(key=key, data=data, on_go_change=on_go)
