"""Report texts: encrypted or not at all; opened for a named person, with an entry in the audit."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_data import finish_all, received
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.errors import InputError, SettingsError
from monai_cxr.labels.lexicon import read_lexicon
from monai_cxr.screening.arriving.hl7_intake import Hl7Intake
from monai_cxr.screening.ledger import arrivals, audit, open_ledger
from monai_cxr.screening.ledger.people import report_texts
from monai_cxr.screening.ledger.people.report_texts import TextSeal
from monai_cxr.screening.network.mllp import MllpFrame
from monai_cxr.screening.settings.checks import read_settings
from monai_cxr.screening.watching import agreement

TEXT = "IMPRESSION: Secret words. Large right pneumothorax."
FIRST, SECOND = (Fernet.generate_key().decode() for _ in range(2))
DAY = 86_400.0


@pytest.fixture
def kept(ledger, tmp_path):
    """A film, its report, and the ledger that keeps its text."""
    arrivals.enqueue(ledger, received(1))
    finish_all(ledger)
    take(ledger, tmp_path, TextSeal(FIRST))
    return ledger


def take(ledger, folder, seal, *, number="A1", text=TEXT):
    (folder / f"{number}.txt").write_text(text)
    lexicon = read_lexicon("en")
    return agreement.import_reports(ledger, folder / f"{number}.txt", lexicon, seal=seal)


def everything(ledger) -> str:
    with ledger.read() as connection:
        tables = ("reports", "report_texts", "audit")
        return str([connection.exec_driver_sql(f"SELECT * FROM {t}").all() for t in tables])


def actions(ledger):
    return [(e.actor, e.action) for e in audit.entries(ledger, limit=100) if "text" in e.action]


def read(ledger, seal, *, number="A1", actor="Dr. Weber", why="second look"):
    return [one.text for one in report_texts.read(ledger, seal, number, actor=actor, why=why)]


def test_what_was_closed_opens_for_a_person_and_is_said(kept, caplog):
    caplog.set_level(logging.DEBUG)
    assert "Secret" not in everything(kept)
    assert read(kept, TextSeal(FIRST)) == [TEXT]
    assert actions(kept) == [("Dr. Weber", "report text read")]
    assert audit.verify(kept).is_intact
    assert "Secret" not in everything(kept)
    assert "Secret" not in caplog.text
    assert FIRST not in repr(TextSeal(FIRST))


def test_the_text_of_a_message_is_kept_too(ledger):
    segments = (
        "MSH|^~\\&|RIS|H|||20260301||ORU^R01|1|P|2.5.1",
        "PID|1||P1^^^H||X",
        "OBR|1||A1|36554-4^XR|||20260301||||||||||||||20260301|||F",
        f"OBX|1|TX|18748-4^Report||{TEXT}||||||F",
    )
    intake = Hl7Intake(ledger, read_lexicon("en"), "", TextSeal(FIRST))
    assert b"|AA|" in intake.answer(MllpFrame("\r".join(segments).encode()))
    assert read(ledger, TextSeal(FIRST)) == [TEXT]
    assert "Secret" not in repr(intake) + everything(ledger)


def test_a_wrong_key_is_refused_and_said(kept):
    with pytest.raises(InputError, match="another key") as refused:
        read(kept, TextSeal(SECOND))
    assert refused.value.reason == "text_key_differs"
    assert "Secret" not in str(refused.value)
    assert actions(kept) == [("Dr. Weber", "report text not opened")]


def test_a_new_key_stands_before_the_old_one(kept, tmp_path):
    both = TextSeal(f"{SECOND}\n{FIRST}\n")
    take(kept, tmp_path, both, number="A2", text="Other words.")
    assert read(kept, both) == [TEXT]
    assert read(kept, TextSeal(SECOND), number="A2") == ["Other words."]


def test_a_text_stays_with_its_report(kept, tmp_path):
    """A sealed text that was put beside another report does not open there."""
    take(kept, tmp_path, TextSeal(FIRST), number="A2", text="Other words.")
    with kept.write() as connection:
        connection.exec_driver_sql(
            "UPDATE report_texts SET sealed = (SELECT sealed FROM report_texts WHERE report_id = 1)"
        )
    with pytest.raises(InputError, match="was changed"):
        read(kept, TextSeal(FIRST), number="A2")


def test_without_a_key_nothing_is_kept(ledger, tmp_path):
    take(ledger, tmp_path, None)
    with pytest.raises(InputError, match="No text is kept") as refused:
        read(ledger, TextSeal(FIRST))
    assert refused.value.reason == "no_report_text"
    with pytest.raises(SettingsError, match="name no key"):
        read(ledger, None)
    for missing in ({"actor": " "}, {"why": ""}):
        with pytest.raises(SettingsError, match="one is empty"):
            read(ledger, TextSeal(FIRST), **missing)
    assert not actions(ledger)


def test_it_is_deleted_after_its_time_and_the_labels_stay(kept, clock):
    clock.advance(89 * DAY)
    assert report_texts.prune(kept, keep_days=90) == 0
    clock.advance(2 * DAY)
    assert report_texts.prune(kept, keep_days=90) == 1
    assert report_texts.prune(kept, keep_days=90) == 0
    with pytest.raises(InputError, match="No text is kept"):
        read(kept, TextSeal(FIRST))
    assert len(agreement.side_by_side(kept)[0]) > 0


@pytest.mark.parametrize(
    "key",
    ["short", FIRST[:-4], "\n \n", f"{FIRST}\nx", "ü" * 44],
    ids=["short", "cut", "empty", "one of two", "letters"],
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(SettingsError, match="32 bytes in URL-safe base64"):
        TextSeal(key)


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text())
def test_any_text_comes_back(digest, text):
    seal = TextSeal(FIRST)
    assert seal.open(digest, seal.close(digest, text)) == text


class TestVerbs:
    @pytest.fixture
    def toml(self, tmp_path) -> Path:
        (tmp_path / "key").write_text(FIRST + "\n")
        with open_ledger(tmp_path / "l.sqlite"):
            pass
        (tmp_path / "A1.txt").write_text(TEXT)
        path = tmp_path / "screening.toml"
        path.write_text(
            f'[ledger]\nurl = "sqlite:///{tmp_path}/l.sqlite"\n[spool]\nfolder = "spool"\n'
            '[reports]\ntext_key_file = "key"\n'
        )
        return path

    def call(self, *arguments):
        return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})

    def test_from_a_report_to_its_reader(self, toml):
        self.call("screen", "reports", "import", toml.parent / "A1.txt", "--settings", toml)
        words = ("--settings", toml, "--by", "Dr. Weber", "--why", "second look")
        done = self.call("screen", "reports", "text", "A1", *words)
        assert TEXT in done.stdout
        done = self.call("screen", "reports", "text", "A1", *words, "--json")
        assert json.loads(done.stdout)["reports"][0]["text"] == TEXT
        assert self.call("screen", "reports", "text", "A9", *words).exit_code != 0

    def test_a_key_that_is_away_or_empty_is_missed_at_once(self, toml):
        (toml.parent / "key").write_text("\n")
        with pytest.raises(SettingsError, match=r"reports.text_key_file names is empty"):
            read_settings(toml)
        (toml.parent / "key").unlink()
        with pytest.raises(SettingsError, match=r"reports.text_key_file names cannot be read"):
            read_settings(toml)
