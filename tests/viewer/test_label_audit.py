"""Label audit over HTTP: blind, the right film or none, answers that stay, and what follows."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pandas as pd
import pytest
from label_audits import FINDINGS, N_FILMS, Reader, audit_service, write_audit
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.labels.answers import read_answers
from monai_cxr.tables import read_table, write_table

N = N_FILMS * len(FINDINGS)


@pytest.fixture
def index(phantom_index, tmp_path) -> pd.DataFrame:
    """The index, with films of its own that a test may change."""
    made = phantom_index.table.copy()
    for row in made.head(N_FILMS).itertuples():
        copy = tmp_path / f"{row.Index}.dcm"
        shutil.copy(row.path, copy)
        made.loc[row.Index, "path"] = str(copy)
    return made


@pytest.fixture
def folder(index, tmp_path):
    return write_audit(tmp_path / "audit", index)


@pytest.fixture
def service(folder, tmp_path):
    return audit_service(folder, tmp_path / "reviews.sqlite")


def walked(folder, store) -> list[bytes]:
    """Everything that reaches a reader who answers all questions, takes one back and goes on."""
    anna = Reader(audit_service(folder, store), "anna")
    state = anna.question()
    for number in range(N):
        anna.film(state)
        state = anna.say(state, ("present", "absent", "uncertain")[number % 3]).json()
        if number == 2:
            state = anna.post({"item": state["undo"], "undo": True, "role": "reader"}).json()
            state = anna.say(state, "present").json()
        anna.get("progress")
    return anna.received


class TestBlind:
    def test_no_byte_depends_on_a_label_or_a_score(self, index, tmp_path):
        """Two audits of the same films, whose labels, scores and order are all different."""
        one = walked(write_audit(tmp_path / "a", index), tmp_path / "a.sqlite")
        other = walked(write_audit(tmp_path / "b", index, flipped=True), tmp_path / "b.sqlite")
        assert len(one) > 3 * N
        assert one == other

    def test_readers_have_an_order_of_their_own(self, service):
        audit = service.label_audit
        orders = {tuple(one.name for one in audit.in_order(name)) for name in "abcdefgh"}
        assert len(orders) > 1
        for order in orders:
            assert len(order) == N

    def test_an_overlay_tells_nobody_the_label_of_a_film_that_waits(self, service, index):
        anna, bela = Reader(service, "anna"), Reader(service, "bela", "admin")
        anna.answer_all(lambda asked, n: "uncertain")  # every label is corrected
        state = bela.question()
        bela.say(state, "uncertain")
        seen = bela.get("overlay").text.splitlines()
        assert len(seen) == 2  # the header and the film that they have judged
        assert len(Reader(service, "chief", "admin").get("overlay").text.splitlines()) == N + 1
        assert len(Reader(service, "carl").get("overlay").text.splitlines()) == 1


class TestAnswers:
    def test_they_survive_a_restart_and_are_of_their_reader(self, folder, service, tmp_path):
        anna = Reader(service, "anna")
        state = anna.say(anna.question(), "present").json()
        asked = state["question"]["item"]
        again = audit_service(folder, tmp_path / "reviews.sqlite")
        state = Reader(again, "anna").question()
        assert (state["done"], state["total"], state["question"]["item"]) == (1, N, asked)
        assert Reader(again, "bela").question()["done"] == 0

    def test_a_second_press_and_a_second_tab_change_nothing(self, service):
        anna, tab = Reader(service, "anna"), Reader(service, "anna", tab="-2")
        state, seen = anna.question(), tab.question()
        assert state["question"] == seen["question"] | {"image": state["question"]["image"]}
        assert anna.say(state, "present").status_code == 200
        for late in (anna.say(state, "present"), tab.say(seen, "absent")):
            assert late.status_code == 422
            assert "answered already" in late.json()["message"]
        (kept,) = service.store.answers(service.label_audit.name)
        assert (kept.answer, kept.seconds) == ("present", 2.5)

    def test_of_many_at_once_one_is_kept(self, service):
        tabs = [Reader(service, "anna", tab=str(n)) for n in range(6)]
        states = [tab.question() for tab in tabs]
        codes: list[int] = []

        def press(tab, state):
            codes.append(tab.say(state, "present").status_code)

        threads = [
            threading.Thread(target=press, args=pair) for pair in zip(tabs, states, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(codes) == [200, *[422] * 5]
        assert len(service.store.answers(service.label_audit.name)) == 1

    def test_the_last_one_can_be_taken_back_one_press_at_a_time(self, service):
        anna = Reader(service, "anna")
        first = anna.question()
        second = anna.say(first, "present").json()
        third = anna.say(second, "absent").json()
        undo = {"item": third["undo"], "undo": True, "role": "reader"}
        back = anna.post(undo).json()
        assert back["question"]["item"] == second["question"]["item"]
        assert anna.post(undo).status_code == 422  # the same press again
        assert anna.say(back, "uncertain").json()["done"] == 2
        assert anna.post({"item": "no", "undo": True}).status_code == 422
        kept = [one.answer for one in service.store.answers(service.label_audit.name)]
        assert kept == ["present", "absent", "", "uncertain"]

    @pytest.mark.parametrize(
        "content",
        [[], {}, {"item": "x"}, {"answer": "present"}, "present", 7],
        ids=["list", "empty", "item", "answer", "text", "number"],
    )
    def test_what_is_no_answer_is_refused(self, service, content):
        assert Reader(service, "anna").post(content).status_code == 422
        assert service.store.answers(service.label_audit.name) == []

    @pytest.mark.parametrize(
        "other",
        [{"answer": "yes"}, {"film": ""}, {"film": "0" * 20}, {"turn": 2}, {"turn": "1"},
         {"role": "adjudication"}, {"role": "chief"}, {"seconds": "long"}],
        ids=str,
    )  # fmt: skip
    def test_an_answer_to_anything_else_is_refused(self, service, other):
        anna = Reader(service, "anna")
        assert anna.say(anna.question(), "present", **other).status_code == 422
        assert service.store.answers(service.label_audit.name) == []

    def test_who_may_not_judge_has_no_link(self, service):
        assert Reader(service, "vera", "viewer").get("question").status_code == 403
        assert Reader(service, "olga", "operator").get("overlay").status_code == 403


class TestFilms:
    def test_a_film_that_is_another_now_is_not_shown(self, service, index):
        anna = Reader(service, "anna")
        state = anna.question()
        assert anna.film(state).status_code == 200
        paths = [Path(path) for path in index["path"][:N_FILMS]]
        data = [path.read_bytes() for path in paths]
        for path, other in zip(paths, data[1:] + data[:1], strict=True):
            path.write_bytes(other)
        assert anna.film(state).status_code == 422
        assert anna.say(state, "present").status_code == 422  # nor can it be judged
        state = anna.question()
        assert state["question"]["image"] is None
        assert "another" in state["question"]["sentence"]
        assert anna.say(state, "absent").status_code == 422
        assert anna.say(state, "unreadable").status_code == 200

    def test_without_digests_the_header_tells(self, index, tmp_path):
        folder = write_audit(tmp_path / "audit", index)
        queue = read_table(folder / "queue.csv").drop(columns="sha256")
        write_table(queue, folder / "queue.csv")
        service = audit_service(folder, tmp_path / "r.sqlite")
        assert Reader(service, "anna").question()["question"]["image"]
        paths = dict(zip(queue["sop_uid"], queue["path"], strict=True))
        turned = dict(zip(paths, reversed(paths.values()), strict=True))
        write_table(queue.assign(path=queue["sop_uid"].map(turned)), folder / "queue.csv")
        service = audit_service(folder, tmp_path / "r.sqlite")
        assert "another film" in Reader(service, "anna").question()["question"]["sentence"]

    def test_a_file_that_is_gone_costs_its_question_alone(self, service, index):
        for path in index["path"][: N_FILMS - 1]:
            shutil.move(path, f"{path}.away")
        anna = Reader(service, "anna")
        n = anna.answer_all(lambda asked, n: "present" if asked["image"] else "unreadable")
        kept = service.store.answers(service.label_audit.name)
        assert n == N
        assert sum(one.answer == "present" for one in kept) == len(FINDINGS)
        assert all(bool(one.film_sha256) == (one.answer == "present") for one in kept)


class TestReaders:
    def differ(self, service):
        """Two readers who differ on the films of one finding."""
        anna, bela = Reader(service, "anna"), Reader(service, "bela")
        anna.answer_all(lambda asked, n: "present")
        bela.answer_all(lambda asked, n: "absent" if asked["finding"] == "Effusion" else "present")
        return anna, bela

    def test_a_third_one_decides_where_two_differ(self, service, index, tmp_path):
        anna, bela = self.differ(service)
        assert anna.question()["to_decide"] == bela.question()["to_decide"] == 0
        assert anna.question("adjudication")["question"] is None
        assert anna.get("progress").json()["differing"] == N_FILMS
        carl = Reader(service, "carl")
        state = carl.question("adjudication")
        assert (state["role"], state["total"]) == ("adjudication", N_FILMS)
        assert state["question"]["said"] == ["absent", "present"]
        assert carl.answer_all(lambda asked, n: "absent", "adjudication") == N_FILMS
        made = carl.get("progress").json()
        assert (made["differing"], made["decided"]) == (0, N_FILMS)
        assert made["readers"] == [["anna", N], ["bela", N]]
        assert [one[:3] for one in made["agreements"]] == [
            ["Effusion", N_FILMS, 0.0], ["Pneumothorax", N_FILMS, 1.0],
        ]  # fmt: skip
        corrected = self.applied(anna, index, tmp_path)
        assert (corrected["Effusion"][:N_FILMS] == 0).all()
        assert (corrected["Pneumothorax"][:N_FILMS] == 1).all()

    def applied(self, reader, index, tmp_path) -> pd.DataFrame:
        """The index that ``labels apply`` makes of the overlay, and of the answers, the same."""
        index = index.drop(columns="split")
        write_table(index, tmp_path / "index.parquet")
        (tmp_path / "overlay.csv").write_bytes(reader.get("overlay").content)
        (tmp_path / "answers.csv").write_bytes(reader.get("answers").content)
        runner, at = CliRunner(), str(tmp_path)
        for overlay in ("overlay.csv", "by_cli.csv"):
            if overlay == "by_cli.csv":
                made = ["labels", "corrections", f"{at}/index.parquet", "--answers",
                        f"{at}/answers.csv", "--out", f"{at}/{overlay}"]  # fmt: skip
                assert runner.invoke(app, made).exit_code == 0
            verb = ["labels", "apply", f"{at}/index.parquet", "--overlay", f"{at}/{overlay}"]
            done = runner.invoke(app, [*verb, "--out", f"{at}/{overlay}.parquet"])
            assert done.exit_code == 0, done.output
        one, other = (
            read_table(tmp_path / f"{name}.parquet").drop(columns="corrected_by")
            for name in ("overlay.csv", "by_cli.csv")
        )
        pd.testing.assert_frame_equal(one, other)
        return one

    def test_a_role_can_be_named_that_decides(self, folder, tmp_path):
        service = audit_service(folder, tmp_path / "r.sqlite", adjudicator_role="admin")
        self.differ(service)
        carl, chief = Reader(service, "carl"), Reader(service, "chief", "admin")
        assert carl.question()["to_decide"] == 0
        assert carl.question("adjudication")["role"] == "reader"
        state = chief.question("adjudication")
        assert chief.say(state, "present").status_code == 200
        assert carl.say(state, "present").status_code == 422

    def test_answers_are_exported_with_names_and_without_labels(self, service):
        self.differ(service)
        carl = Reader(service, "carl")
        carl.answer_all(lambda asked, n: "absent", "adjudication")
        table = carl.get("answers").text
        assert table.splitlines()[0] == "sop_uid,finding,reader,answer,at,role,seconds"
        path = service.store.path.with_name("answers.csv")
        path.write_text(table)
        assert set(read_answers(path)["reader"]) == {"anna", "bela", "adjudication"}
        assert "carl" in table

    def test_the_audit_trail_says_who_answered_and_exported(self, service):
        anna = Reader(service, "anna")
        anna.film(anna.question())
        anna.say(anna.question(), "present")
        anna.get("answers")
        actions = [line.action for line in service.store.accesses(20)]
        assert {"label question", "label answered", "exported label answers"} <= set(actions)
