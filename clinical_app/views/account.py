"""Account page: who is at the screen, what their role may do, and how to leave."""

from __future__ import annotations

import streamlit as st

from clinical_app import session
from clinical_app.access import DUTIES


def page() -> None:
    """Draw the page."""
    service, who = session.gate("account")
    settings = service.settings
    with st.container(key="narrow"):
        st.title("Account")
        here = " at this machine" if settings.trusts_user else ""
        st.markdown(f"**{who.user}**{here}, role **{who.role}**.")
        may = [words for name, words in DUTIES.items() if who.may(name)]
        may_not = [words for name, words in DUTIES.items() if not who.may(name)]
        st.markdown(_list("You may", may))
        if may_not:
            st.markdown(_list("You may not", may_not))
        st.markdown(
            f"The screen locks after {settings.idle_minutes:g} minutes without use. What you "
            "opened and finished is in the audit, with your name."
        )
        lock, leave, _ = st.columns([1, 1, 4])
        lock.button(
            "Lock now", on_click=service.grants.lock, args=(session.session_id(),), width="stretch"
        )
        if settings.authentication == "oidc":
            leave.button("Sign out", on_click=st.logout, width="stretch")
        st.caption("Research use only, not a medical device.")


def _list(title: str, duties: list[str]) -> str:
    return "\n".join([title, "", *(f"- {words}" for words in duties)])
