"""Worklist: urgency first, nobody waits for ever, read studies last."""

from __future__ import annotations

import json

from review_data import case

from monai_cxr.evaluation.decisions.conformal import ConformalRule
from monai_cxr.review.cases import due, opaque
from monai_cxr.review.reviews import Review
from monai_cxr.review.worklist import worklist

HOUR = 3600.0


def closed(number: int, reader: str = "r") -> Review:
    return Review(f"1.2.{number}", "", reader, "d", finished=True, at=1.0)


def ids(content) -> list[int]:
    return [int(row["id"], 16) for row in content["rows"]]


class TestOrder:
    def test_urgent_before_routine_before_nothing(self):
        cases = [
            case(1, {"Hernia": 0.1}),
            case(2, {"Cardiomegaly": 0.9}),
            case(3, {"Pneumothorax": 0.9}),
            case(4, {"Effusion": 0.9}),
        ]
        content = worklist(cases, [], now=10.0, longest_wait_seconds=HOUR)
        assert ids(content) == [3, 4, 2, 1]
        assert [row["urgency"] for row in content["rows"]] == [1, 2, 3, 4]

    def test_within_a_class_the_longest_waiting_first(self):
        cases = [
            case(1, {"Effusion": 0.9}, received=50.0),
            case(2, {"Effusion": 0.9}, received=20.0),
        ]
        assert ids(worklist(cases, [], now=60.0, longest_wait_seconds=HOUR)) == [2, 1]

    def test_a_missed_film_rises_until_it_is_first(self):
        """Without ageing, a film that the model missed waits behind every flagged one."""
        missed = case(1, {"Pneumothorax": 0.1}, received=0.0)
        assert due(missed, longest_wait_seconds=HOUR) == 3 * HOUR
        for arrival, expected in ((2.9, [2, 1]), (3.1, [1, 2])):
            urgent = case(2, {"Effusion": 0.9}, received=(arrival - 1) * HOUR)
            content = worklist([urgent, missed], [], now=9 * HOUR, longest_wait_seconds=HOUR)
            assert ids(content) == expected

    def test_of_those_that_have_waited_too_long_the_urgent_come_first(self):
        cases = [case(1, {"Effusion": 0.9}), case(2, {"Pneumothorax": 0.9})]
        assert ids(worklist(cases, [], now=9 * HOUR, longest_wait_seconds=HOUR)) == [2, 1]

    def test_read_studies_come_last_and_name_their_readers(self):
        cases = [case(1, {"Pneumothorax": 0.9}), case(2, {"Hernia": 0.1})]
        reviews = [closed(1, "anna"), closed(1, "bob")]
        content = worklist(cases, reviews, now=1.0, longest_wait_seconds=HOUR)
        assert ids(content) == [2, 1]
        assert content["rows"][1]["status"] == "read"
        assert content["rows"][1]["readers"] == ["anna", "bob"]

    def test_an_open_review_is_not_read(self):
        review = Review("1.2.1", "", "r", "d", note="half", finished=False)
        content = worklist([case(1, {})], [review], now=1.0, longest_wait_seconds=HOUR)
        assert content["counts"]["read"] == 0


class TestRows:
    def test_say_why_a_study_was_not_analysed(self):
        cases = [case(1, reason="lateral"), case(2, reason="damaged_pixels", failed=True), case(3)]
        content = worklist(cases, [], now=1.0, longest_wait_seconds=HOUR)
        by_id = {int(row["id"], 16): row for row in content["rows"]}
        assert (by_id[1]["status"], by_id[1]["why"]) == ("not analysed", "lateral film")
        assert (by_id[2]["status"], by_id[2]["why"]) == ("failed", "damaged pixels")
        assert (by_id[3]["status"], by_id[3]["why"]) == ("waiting", "")
        assert content["counts"] == {
            "new": 0, "read": 0, "waiting": 1, "not analysed": 1, "failed": 1,
        }  # fmt: skip

    def test_hold_no_identity(self):
        text = json.dumps(worklist([case(7, {})], [], now=1.0, longest_wait_seconds=HOUR))
        assert "P1" not in text
        assert "1.2.7" not in text

    def test_hold_the_patient_s_id_where_the_site_asks_for_it(self):
        content = worklist([case(7, {})], [], now=1.0, longest_wait_seconds=HOUR, identify=True)
        assert content["rows"][0]["name"] == "P1"


def test_opaque_names_depend_on_the_secret():
    assert opaque(b"a", "1.2.3") == opaque(b"a", "1.2.3")
    assert opaque(b"a", "1.2.3") != opaque(b"b", "1.2.3")
    assert opaque(b"a", "") == ""
    assert "1.2.3" not in opaque(b"a", "1.2.3")


class TestActNow:
    def test_act_now_below_routine(self):
        """A new pneumothorax stands above whatever has waited longer, and each row says why."""
        cases = [
            case(1, {"Hernia": 0.1}, received=0.0),
            case(2, {"Cardiomegaly": 0.9}, received=0.0),
            case(3, {"Effusion": 0.9}, received=0.0),
            case(4, {"Pneumothorax": 0.9}, received=8 * HOUR),
            case(5, {"Pneumothorax": 0.9}, received=7 * HOUR),
        ]
        content = worklist(cases, [], now=9 * HOUR, longest_wait_seconds=HOUR)
        assert ids(content) == [5, 4, 3, 2, 1]
        rows = {int(row["id"], 16): row for row in content["rows"]}
        assert rows[4]["order"].startswith("Act now")
        assert rows[3]["order"] == "Overdue since 8 h 00."
        assert [rows[i]["overdue"] for i in (1, 2, 3, 4)] == [True, True, True, False]

    def test_overdue_ones_stand_in_the_order_of_their_due_time(self):
        cases = [case(1, {"Hernia": 0.1}), case(2, {"Effusion": 0.9}, received=HOUR)]
        assert ids(worklist(cases, [], now=9 * HOUR, longest_wait_seconds=HOUR)) == [2, 1]
        cases = [case(1, {"Hernia": 0.1}), case(2, {"Effusion": 0.9}, received=2.5 * HOUR)]
        assert ids(worklist(cases, [], now=9 * HOUR, longest_wait_seconds=HOUR)) == [1, 2]


class TestUncertain:
    RULE = ConformalRule("Effusion", 0.1, 0.2, 0.6, 50, 50)

    def uncertain(self, **scores: float) -> list[str]:
        content = worklist(
            [case(1, scores)],
            [],
            now=1.0,
            longest_wait_seconds=HOUR,
            rules={"Effusion": self.RULE},
        )
        row = content["rows"][0]
        assert set(row["uncertain"]) <= set(row["flagged"])
        return row["uncertain"]

    def test_what_is_flagged_but_not_claimed(self):
        """The list says of a finding what the page of its study says."""
        assert self.uncertain(Effusion=0.55, Pneumothorax=0.9) == ["Effusion"]
        assert self.uncertain(Effusion=0.61, Pneumothorax=0.9) == []
