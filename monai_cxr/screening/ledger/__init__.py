"""Ledger: the one durable memory of screening: jobs, results, deliveries, reviews, audit trail."""

from __future__ import annotations

from monai_cxr.screening.ledger.database import Ledger, open_ledger

__all__ = ["Ledger", "open_ledger"]
