"""Account page: who is at the screen, what their role may do, and how to leave."""

from __future__ import annotations

import streamlit as st

from clinical_app import session
from clinical_app.admission.access import DUTIES
from clinical_app.tables import as_written


def page() -> None:
    """Draw the page."""
    service, who = session.gate("account")
    settings = service.settings
    with st.container(key="narrow"):
        st.title("Account")
        here = " at this machine" if settings.trusts_user else ""
        st.markdown(f"**{as_written(who.user)}**{here}, role **{who.role}**.")
        may = [words for name, words in DUTIES.items() if who.may(name)]
        may_not = [words for name, words in DUTIES.items() if not who.may(name)]
        st.markdown(_list("You may", may))
        if may_not:
            st.markdown(_list("You may not", may_not))
        lock_asks = settings.locks
        closes = (
            "locks, and asks you to sign in again"
            if lock_asks
            else ("is hidden; no password is asked to go on")
        )
        st.markdown(
            f"After {settings.idle_minutes:g} minutes without use the screen {closes}. What you "
            "opened, finished and exported is in the audit, with your name."
        )
        lock, leave, _ = st.columns([1, 1, 4])
        lock.button(
            "Lock now" if lock_asks or settings.trusts_user else "Hide now",
            on_click=service.grants.lock,
            args=(session.session_id(),),
            width="stretch",
        )
        if settings.authentication == "oidc":
            leave.button("Sign out", on_click=st.logout, width="stretch")
        elif settings.sign_out_url:
            with leave:
                session.leave_link(service, "Sign out")
        st.caption("Research use only, not a medical device.")


def _list(title: str, duties: list[str]) -> str:
    return "\n".join([title, "", *(f"- {words}" for words in duties)])
