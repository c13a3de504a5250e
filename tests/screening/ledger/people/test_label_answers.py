"""Label answers in both databases: one word a turn, whoever comes at once."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger.people import label_answers
from monai_cxr.screening.ledger.people.label_answers import ADJUDICATION, READER, LabelAnswer

SAID = LabelAnswer("a" * 16, "1.2", "Mass", "anna", 1, READER, "present", "d" * 64, 3.0, 100.0)


def test_answers_come_back_in_order(ledger):
    more = [SAID, replace(SAID, turn=2, answer=""), replace(SAID, turn=3, answer="absent"),
            replace(SAID, reader="bela", role=ADJUDICATION)]  # fmt: skip
    assert all(label_answers.add(ledger, one) for one in more)
    assert label_answers.of_audit(ledger, SAID.audit) == more
    assert label_answers.of_audit(ledger, "another") == []


def test_a_turn_is_taken_once_and_none_is_left_out(ledger):
    assert label_answers.add(ledger, SAID)
    assert not label_answers.add(ledger, replace(SAID, answer="absent"))
    assert not label_answers.add(ledger, replace(SAID, turn=3))
    assert label_answers.of_audit(ledger, SAID.audit) == [SAID]


def test_of_several_at_once_one_is_kept(ledger):
    kept: list[bool] = []
    threads = [
        threading.Thread(target=lambda: kept.append(label_answers.add(ledger, SAID)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept) == [*[False] * 7, True]


@pytest.mark.parametrize("wrong", [{"reader": ""}, {"role": "chief"}, {"turn": 0}])
def test_what_names_nobody_is_refused(wrong):
    with pytest.raises(SettingsError):
        replace(SAID, **wrong)
