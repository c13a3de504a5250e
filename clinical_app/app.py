"""App: the Streamlit script; who may see which page, then the page."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from clinical_app import session, theme
from clinical_app.service import UPLOADS_ONLY, current
from clinical_app.views import (
    account,
    audit,
    label_audit,
    model_card,
    monitoring,
    operations,
    upload,
    worklist,
)

Page = tuple[Callable[[], None], str, str, str]

PAGES: tuple[Page, ...] = (
    (worklist.page, "Worklist", "worklist", "worklist"),
    (label_audit.page, "Label audit", "label-audit", "review"),
    (upload.page, "Upload", "upload", "upload"),
    (model_card.page, "Model", "model", "model"),
    (monitoring.page, "Monitoring", "monitoring", "monitoring"),
    (operations.page, "Operations", "operations", "operations"),
    (audit.page, "Audit", "audit", "audit"),
    (account.page, "Account", "account", "account"),
)


def _first(allowed: list[Page]) -> Page:
    """The page to begin with: the worklist, or where it has nothing, the audit or the upload."""
    nothing = current().source.name == UPLOADS_ONLY
    instead = "label-audit" if current().label_audit is not None else "upload"
    return next((page for page in allowed if nothing and page[2] == instead), allowed[0])


def main() -> None:
    """One run of the script."""
    st.set_page_config(page_title="Chest X-ray viewer", layout="wide")
    st.html(theme.FRAME)
    who = session.require_person()
    absent = "" if current().label_audit is not None else "label-audit"
    allowed = [page for page in PAGES if who.may(page[3]) and page[2] != absent]
    first = _first(allowed)
    pages = [
        st.Page(
            function,
            title=title,
            url_path=path,
            default=page is first,
            visibility="visible" if page in allowed else "hidden",
        )
        for page in PAGES
        for function, title, path, _permission in (page,)
    ]
    st.session_state["pages"] = {page[2]: made for page, made in zip(PAGES, pages, strict=True)}
    st.navigation(pages, position="top").run()


main()
