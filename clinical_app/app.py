"""App: the Streamlit script; who may see which page, then the page."""

from __future__ import annotations

import streamlit as st

from clinical_app import session, theme
from clinical_app.views import (
    account,
    audit,
    model_card,
    monitoring,
    operations,
    upload,
    worklist,
)

PAGES = (
    (worklist.page, "Worklist", "worklist", "worklist"),
    (upload.page, "Upload", "upload", "upload"),
    (model_card.page, "Model", "model", "model"),
    (monitoring.page, "Monitoring", "monitoring", "monitoring"),
    (operations.page, "Operations", "operations", "operations"),
    (audit.page, "Audit", "audit", "audit"),
    (account.page, "Account", "account", "account"),
)


def main() -> None:
    """One run of the script."""
    st.set_page_config(page_title="Chest X-ray viewer", layout="wide")
    st.html(theme.FRAME)
    who = session.require_person()
    allowed = [page for page in PAGES if who.may(page[3])]
    pages = [
        st.Page(
            function,
            title=title,
            url_path=path,
            default=page is allowed[0],
            visibility="visible" if page in allowed else "hidden",
        )
        for page in PAGES
        for function, title, path, _permission in (page,)
    ]
    st.session_state["pages"] = {page[2]: made for page, made in zip(PAGES, pages, strict=True)}
    st.navigation(pages, position="top").run()


main()
