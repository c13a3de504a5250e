"""Server: one process with Streamlit's pages and our own routes, behind one guard."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

from clinical_app.admission.security import Guard
from clinical_app.routes import routes
from clinical_app.service import Service, configure
from clinical_app.settings import ViewerSettings
from clinical_app.theme import theme_options
from monai_cxr.errors import DeliveryError, SettingsError

_LOG = logging.getLogger("clinical_app")

SCRIPT = Path(__file__).with_name("app.py")
_LARGEST_UPLOAD_MIB = 128


def build(service: Service) -> st.App:
    """The ASGI application of a service."""
    settings = configure(service).settings
    secrets: dict[str, Any] | None = None
    if settings.authentication == "oidc":
        # Who signs in says who they are, each time: a lock is none where a provider remembers.
        secrets = {"auth": {**settings.oidc, "client_kwargs": {"prompt": "login"}}}
    return st.App(
        SCRIPT,
        secrets=secrets,
        routes=routes(settings.base_path),
        middleware=[Middleware(Guard, settings=settings, grants=service.grants)],
        on_script_error=_calm,
    )


def run(
    service: Service, *, headless: bool, say: Callable[[str], None], port: int | None = None
) -> None:
    """Serve until stopped.

    Args:
        service: What pages show.
        headless: Do not open a browser.
        say: Told where the viewer is.
        port: Instead of the settings' port; 0 lets the system choose.

    Raises:
        SettingsError: If the port is taken.
    """
    settings = service.settings
    chosen = free_port(settings.address, settings.port if port is None else port)
    app = build(service)
    host = f"[{settings.address}]" if ":" in settings.address else settings.address
    say(f"Viewer: http://{host}:{chosen}{settings.base_path}   (stop with Ctrl-C)")
    if settings.trusts_user:
        os.environ["FORWARDED_ALLOW_IPS"] = ""  # who is at the other end is asked of the system
    sys.argv[:] = [str(SCRIPT)]  # Streamlit takes the launcher's arguments for the script's own
    app.run(config=options(settings, port=chosen, headless=headless))


def options(settings: ViewerSettings, *, port: int, headless: bool) -> dict[str, Any]:
    """Streamlit's options: quiet, closed, and ours."""
    made: dict[str, Any] = {
        "server.address": settings.address,
        "server.port": port,
        "server.headless": headless,
        "server.showEmailPrompt": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.baseUrlPath": settings.base_path.strip("/"),
        "server.maxUploadSize": _LARGEST_UPLOAD_MIB,
        "server.disconnectedSessionTTL": 120,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "minimal",
        "logger.level": "warning",
        **theme_options(settings.theme),
    }
    return made


def free_port(address: str, port: int) -> int:
    """The port, or one that the system chose for 0.

    Raises:
        SettingsError: If it is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"Cannot listen on {address}:{port} ({getattr(error, 'strerror', error)}). Choose "
            "another port with --port, or --port 0 for any."
        ) from error


def _calm(error: Exception) -> bool:
    """Show a sentence where Streamlit would show an error; its kind alone goes to the log."""
    detail = error if os.environ.get("MONAI_CXR_DEBUG") else None
    _LOG.error("A page failed: %s", type(error).__name__, exc_info=detail)
    if isinstance(error, DeliveryError):
        st.warning(str(error))
        st.button("Try again", key="again")
    else:
        st.error("This page failed. Nothing was lost; reload it, and tell an administrator.")
    return True
