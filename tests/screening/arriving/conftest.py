"""What takes HL7 messages in, beside an empty ledger."""

from __future__ import annotations

import pytest
from hl7_feed import LEXICON

from monai_cxr.screening.arriving.hl7_intake import Hl7Intake


@pytest.fixture
def taking(ledger):
    return Hl7Intake(ledger, LEXICON, "")
