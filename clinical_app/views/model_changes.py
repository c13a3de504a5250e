"""Model changes: the history of the model, as the model page and the audit page show it."""

from __future__ import annotations

import streamlit as st

from clinical_app import tables
from clinical_app.service import Service
from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.review.ledger_cases import answering
from monai_cxr.review.watching.model_history import history_rows, in_use, read_history
from monai_cxr.screening.watching.model_spans import ModelSpan, model_spans


def draw(service: Service) -> None:
    """Which model when, why changed, by whom, and what it read."""
    spans = _spans(service)
    registry = None
    if service.registry is not None:
        try:
            registry = read_history(service.registry)
        except SettingsError as error:
            st.warning(str(error))
            return
        st.write(in_use(registry, service.model.identity.digest if service.model else ""))
    rows = history_rows(registry, spans)
    if rows:
        tables.show(rows)
    if registry is None:
        st.caption(
            "Why a model was changed, and by whom, is in a registry: start the viewer with its "
            "bundle (registry/champion) or with --registry."
        )
    else:
        st.caption("Times are UTC. A film counts for the model that read it last.")


def _spans(service: Service) -> tuple[ModelSpan, ...]:
    if service.ledger is None:
        return ()
    try:
        with answering():
            return model_spans(service.ledger)
    except DeliveryError as error:
        st.warning(str(error))
        return ()
