"""Outbox: what must be delivered, until the receiver said that it has it."""

from __future__ import annotations

from monai_cxr.screening.ledger.outbox.by_hand import dismiss, retry
from monai_cxr.screening.ledger.outbox.contents import DeliveryContent, content
from monai_cxr.screening.ledger.outbox.leases import (
    KEEP_TRYING_SECONDS,
    MAX_ATTEMPTS_TO_MAKE,
    MAX_UNANSWERED,
    delivered,
    failed,
    lease,
    postpone,
    release_owners,
)
from monai_cxr.screening.ledger.outbox.scheduled import (
    Delivery,
    deliveries,
    is_ours,
    n_pending,
    schedule,
)

__all__ = [
    "KEEP_TRYING_SECONDS",
    "MAX_ATTEMPTS_TO_MAKE",
    "MAX_UNANSWERED",
    "Delivery",
    "DeliveryContent",
    "content",
    "delivered",
    "deliveries",
    "dismiss",
    "failed",
    "is_ours",
    "lease",
    "n_pending",
    "postpone",
    "release_owners",
    "retry",
    "schedule",
]
