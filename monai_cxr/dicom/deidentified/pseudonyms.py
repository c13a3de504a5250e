"""Pseudonyms: names, UIDs and date shifts of a keyed hash; without the key they lead nowhere."""

from __future__ import annotations

import hashlib
import hmac


def pseudonym(key: bytes, patient_id: str, issuer: str = "") -> str:
    """Pseudonym of a patient: 16 letters and digits out of a keyed hash."""
    digest = _keyed(key, "patient", f"{issuer}|{patient_id}")
    return "P" + hashlib.sha256(digest).hexdigest()[:15].upper()


def pseudonymous_uid(key: bytes, uid: str) -> str:
    """UID of a keyed hash (PS3.5 B.2); the same for the same UID."""
    return f"2.25.{int.from_bytes(_keyed(key, 'uid', uid)[:16], 'big')}"


def date_shift_days(key: bytes, patient: str) -> int:
    """How many days a patient's dates move: 1 to 156 weeks back, weekdays kept."""
    return -7 * (1 + int.from_bytes(_keyed(key, "shift", patient)[:8], "big") % 156)


def _keyed(key: bytes, kind: str, value: str) -> bytes:
    return hmac.new(key, f"{kind}|{value}".encode(), hashlib.sha256).digest()
