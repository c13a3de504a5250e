"""Session: who runs this page now, and the gate that every page passes on the server."""

from __future__ import annotations

import hashlib
import secrets

import streamlit as st

from clinical_app.admission.access import Identity, identify, local_identity, proxy_user
from clinical_app.admission.security import SESSION_COOKIE
from clinical_app.service import Service, current
from monai_cxr.review.uploads import Owner


def session_id() -> str:
    """The cookie that links are bound to; a name that no link matches where there is none."""
    cookie = st.context.cookies.get(SESSION_COOKIE, "")
    if isinstance(cookie, str) and cookie:
        return cookie
    return str(st.session_state.setdefault("session", secrets.token_urlsafe(24)))


def owner(who: Identity) -> Owner:
    """Whose uploads this page may show."""
    return Owner(session_id(), who.user)


def identity() -> Identity:
    """Who is at the screen, asked again on every run."""
    service = current()
    settings = service.settings
    if settings.trusts_user:
        return local_identity(service.local_user, settings)
    if settings.authentication == "proxy":
        sent = st.context.headers
        headers = [(name, value) for name in sent for value in sent.get_all(name)]
        return identify(proxy_user(headers, settings), settings)
    if not st.user.is_logged_in:
        return Identity("", "")
    user = str(st.user.get("email") or st.user.get("sub") or "")
    claim = st.user.get(settings.role_claim) if settings.role_claim else None
    return identify(user, settings, claim)


def reader_id(who: Identity) -> str:
    """What a browser's tab calls its reader, to keep nothing of theirs for the next one."""
    return hashlib.sha256(f"reader {who.user}".encode()).hexdigest()[:12]


def gate(permission: str) -> tuple[Service, Identity]:
    """Let a page run for those whose role includes a permission; tell the others, and stop.

    Returns:
        The service, and who is at the screen.
    """
    service, who = current(), identity()
    if not who.may(permission):
        _refuse(service, who, permission)
    return service, who


def require_person() -> Identity:
    """Stop with a sign-in page where nobody is signed in, and with a lock where nobody is there."""
    service, who = current(), identity()
    if not who.user:
        service.end(session_id())
        _sign_in(service)
    if not who.role:
        service.audit(who, "denied")
        st.title("No access yet")
        st.write("You are signed in, and nobody has given you a role here. Ask an administrator.")
        st.stop()
    if service.grants.is_idle(session_id()):
        _lock(service, who)
    service.grants.use(session_id(), who)
    return who


def _refuse(service: Service, who: Identity, permission: str) -> None:
    service.audit(who, "denied")
    st.title("Not part of your role")
    st.write(
        f"This page needs the permission '{permission}', which the role '{who.role}' does not "
        "include. Nothing was shown. Ask an administrator if you should have it."
    )
    st.stop()


def _sign_in(service: Service) -> None:
    with st.container(key="narrow"):
        st.title("Chest X-ray viewer")
        st.write("Sign in to see studies.")
        if service.settings.authentication == "oidc":
            st.button("Sign in", type="primary", on_click=st.login)
        else:
            st.write("The proxy of this site did not say who you are.")
    st.stop()


def leave_link(service: Service, words: str) -> None:
    """A link that ends this session, and then that of the proxy, in this tab."""
    st.html(f"<p><a href='{service.url('leave')}' target='_self'>{words}</a></p>")


def _lock(service: Service, who: Identity) -> None:
    """Hide everything until the person signs in again, or, where nobody signs in, goes on."""
    settings = service.settings
    service.audit(who, "locked")
    with st.container(key="narrow"):
        called = "locked" if settings.locks or settings.trusts_user else "hid"
        st.title("Locked" if called == "locked" else "Hidden")
        minutes = settings.idle_minutes
        why = f"Nobody used this session for {minutes:g} minutes."
        if service.grants.was_locked(session_id()):
            why = f"You {called} this session."
        st.write(f"{why} What was not saved yet is kept in this tab, and saved once you go on.")
        if settings.authentication == "oidc":
            st.button("Sign in again", type="primary", on_click=st.logout)
        elif settings.sign_out_url:
            leave_link(service, "Sign in again")
        else:
            st.write("No password is asked here: lock the computer as well when you leave it.")
            st.button("Continue", type="primary", on_click=service.end, args=(session_id(),))
    st.stop()
