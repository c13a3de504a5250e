"""Upload page: drop a film and read it now; it stays in memory and is forgotten."""

from __future__ import annotations

from typing import Any

import streamlit as st

from clinical_app import components, desk, session
from clinical_app.admission.access import Identity
from clinical_app.service import Service
from monai_cxr.errors import InputError
from monai_cxr.review.cases import Case

_LARGEST_MIB = 128


def page() -> None:
    """Draw the page."""
    service, who = session.gate("upload")
    place = _place()
    with place:
        film = st.file_uploader(
            "Drop a chest film here: DICOM, PNG, JPEG or TIFF. It stays in memory and is "
            "forgotten; nothing is written to disk.",
            max_upload_size=_LARGEST_MIB,
            key="film",
        )
    if film is None:
        _forget(service)
        return
    case = _read(service, who, film.file_id, film.getvalue())
    if case is None:
        return
    with place:
        _keep(service, case, who)
    data: dict[str, Any] = {
        "case": desk.study(service, case, who, session.session_id(), ()),
        "next": None,
        "after": None,
        "previous": None,
        "drafts": [],
        "queued": False,
        "listed": False,
        "reader": session.reader_id(who),
        "idle_seconds": service.settings.idle_minutes * 60,
    }
    components.viewer(data, key="upload_desk", on_go=_stay, on_kept=_stay)


def _place() -> Any:
    """Where to drop a film: the page, or a line above the film that is being read."""
    if st.session_state.get("film") is not None:
        return st.expander("Read another film, or keep a report", expanded=False)
    place = st.container(key="narrow")
    place.title("Read one film now")
    return place


def _read(service: Service, who: Identity, file_id: str, content: bytes) -> Case | None:
    if st.session_state.get("upload_file") == file_id:
        kept = service.uploads.case(st.session_state.get("upload", ""), session.owner(who))
        if kept is not None:
            return kept
    _forget(service)
    try:
        with st.spinner("Reading the film"):
            case = service.uploads.add(content, service.model, session.owner(who))
    except InputError as error:
        st.error(f"This file cannot be read as a film. {error}")
        return None
    service.audit(who, "uploaded")
    st.session_state["upload"], st.session_state["upload_file"] = case.case_id, file_id
    return case


def _keep(service: Service, case: Case, who: Identity) -> None:
    token = service.grants.give("case", case.case_id, session.session_id(), who)
    st.link_button("Keep a report (HTML, to print or save as PDF)", service.url("report", token))


def _forget(service: Service) -> None:
    service.uploads.forget(st.session_state.pop("upload", ""))
    st.session_state.pop("upload_file", None)


def _stay() -> None:
    """An upload has no neighbours; the desk's own lock is handled by the next run."""
