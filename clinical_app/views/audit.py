"""Audit page: who saw what, for administrators."""

from __future__ import annotations

import time

import streamlit as st

from clinical_app import session
from monai_cxr.errors import DeliveryError

_LAST = 500
_ON_SCREEN = 18
_PIXELS = 640
"""Height of a table with more lines than that; it scrolls."""


def page() -> None:
    """Draw the page."""
    service, _ = session.gate("audit")
    with st.container(key="narrow"):
        st.title("Audit")
        try:
            lines = service.store.accesses(_LAST)
        except DeliveryError as error:
            st.warning(str(error))
            return
        st.caption(
            f"The last {len(lines)} lines of at most {_LAST}, the newest first. Times are UTC."
        )
        st.dataframe(
            [
                {
                    "When": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(line.at)),
                    "Who": line.user,
                    "Role": line.role,
                    "What": line.action,
                    "Study Instance UID": line.study_uid,
                }
                for line in lines
            ],
            hide_index=True,
            width="stretch",
            height=_PIXELS if len(lines) > _ON_SCREEN else "content",
        )
