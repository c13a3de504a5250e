"""Audit, answers, overlay, check and budget: from suspicion to corrected labels and back."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.labels import answers as said
from monai_cxr.labels.audit import audit_labels
from monai_cxr.labels.budget import fit_curve, forecast
from monai_cxr.labels.check import check_labels, draw_sample, require_checked, write_check
from monai_cxr.labels.overlay import apply_overlay, index_digest, revert_overlay
from monai_cxr.tables import normalise_index

FINDING = "Effusion"


def made_up_index(n=60, *, seed=0):
    generator = np.random.default_rng(seed)
    return normalise_index(
        pd.DataFrame(
            {
                "path": [f"{i}.png" for i in range(n)],
                "patient_id": [f"p{i // 2}" for i in range(n)],
                "sop_uid": [f"film{i}" for i in range(n)],
                "split": np.where(np.arange(n) % 5 == 4, "test", "train"),
                FINDING: generator.integers(0, 2, n).astype(float),
            }
        ),
        [FINDING],
    )


def overlay_of(index, films, *, reader="a", new=None):
    labels = index.set_index("sop_uid")[FINDING]
    return pd.DataFrame(
        {
            "index_digest": index_digest(index, [FINDING]),
            "sop_uid": films,
            "finding": FINDING,
            "old": [labels[film] for film in films],
            "new": [1.0 - labels[film] if new is None else new for film in films],
            "reader": reader,
            "at": "2026-01-01",
        }
    )


class TestOverlay:
    def test_labels_change_and_the_originals_stand_beside(self):
        index = made_up_index()
        made = apply_overlay(index, overlay_of(index, ["film0", "film4"]), [FINDING])
        table = made.table.set_index("sop_uid")
        original = index.set_index("sop_uid")[FINDING]
        assert table.at["film0", FINDING] == 1 - original["film0"]
        assert table.at["film0", f"original_{FINDING}"] == original["film0"]
        assert table.at["film4", FINDING] == original["film4"]  # film4 is of the test split
        assert table.at["film4", f"corrected_{FINDING}"] == 1 - original["film4"]
        assert table.at["film4", "corrected_by"] == ""
        assert table.at["film0", "corrected_by"] == f"overlay {made.digest}"
        assert (made.n_corrected, made.n_set_aside) == ({"train": 1}, 1)

    def test_the_test_split_is_corrected_when_asked(self):
        index = made_up_index()
        made = apply_overlay(index, overlay_of(index, ["film4"]), [FINDING], correct_test=True)
        row = made.table.set_index("sop_uid").loc["film4"]
        assert row[FINDING] == 1 - row[f"original_{FINDING}"]

    @given(st.sets(st.integers(0, 59), max_size=12), st.booleans())
    @settings(max_examples=30)
    def test_it_is_reversible(self, places, correct_test):
        index = made_up_index()
        overlay = overlay_of(index, [f"film{i}" for i in sorted(places)])
        made = apply_overlay(index, overlay, [FINDING], correct_test=correct_test).table
        pd.testing.assert_frame_equal(revert_overlay(made, [FINDING]), index)
        again = apply_overlay(made, overlay, [FINDING], correct_test=correct_test).table
        pd.testing.assert_frame_equal(again, made)

    def test_the_digest_is_of_the_labels_alone(self):
        index = made_up_index()
        moved = index.sample(frac=1, random_state=1).assign(path="elsewhere.png")
        assert index_digest(moved, [FINDING]) == index_digest(index, [FINDING])
        other = index.copy()
        other.loc[3, FINDING] = math.nan
        assert index_digest(other, [FINDING]) != index_digest(index, [FINDING])

    def test_an_overlay_for_another_index_is_refused(self):
        overlay = overlay_of(made_up_index(seed=1), ["film0"])
        with pytest.raises(InvalidTable, match="another index"):
            apply_overlay(made_up_index(), overlay, [FINDING])

    def test_readers_who_contradict_each_other_are_refused(self):
        index = made_up_index()
        overlay = pd.concat(
            [
                overlay_of(index, ["film0"], reader="a", new=1.0),
                overlay_of(index, ["film0"], reader="b", new=0.0),
            ]
        )
        with pytest.raises(InvalidTable, match="contradict"):
            apply_overlay(index, overlay, [FINDING])

    def test_a_reader_who_says_two_things_at_once_is_refused(self, tmp_path):
        index = made_up_index()
        both = [overlay_of(index, ["film0"], new=new) for new in (1.0, 0.0)]
        with pytest.raises(InvalidTable, match="no time tells which"):
            apply_overlay(index, pd.concat(both), [FINDING])
        rows = ["film0,present", "film0,absent"]
        lines = [f"{FINDING},anna,{row}" for row in rows]
        (tmp_path / "a.csv").write_text("\n".join(["finding,reader,sop_uid,answer", *lines]))
        with pytest.raises(InvalidTable, match="no time tells which"):
            said.read_answers(tmp_path / "a.csv")

    def test_two_readers_of_one_name_are_refused(self):
        answers = [
            pd.DataFrame(
                [("film0", FINDING, "anna", answer)],
                columns=["sop_uid", "finding", "reader", "answer"],
            )
            for answer in ("present", "absent")
        ]
        with pytest.raises(InvalidTable, match="Give each reader a name"):
            said.join_answers(answers)
        assert len(said.join_answers([answers[0], answers[0]])) == 1

    def test_the_last_word_of_one_reader_counts(self):
        index = made_up_index()
        first = overlay_of(index, ["film0"], new=math.nan)
        second = overlay_of(index, ["film0"]).assign(at="2026-01-02")
        made = apply_overlay(index, pd.concat([second, first]), [FINDING]).table
        assert made[FINDING][0] == 1 - index[FINDING][0]


def noisy(n_patients=300, flipped=0.1, seed=0):
    """An index with flipped labels, and honest scores that never saw them."""
    generator = np.random.default_rng(seed)
    n = n_patients
    truth = (generator.random(n) < 0.3).astype(float)
    wrong = generator.random(n) < flipped
    index = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(n)],
            "patient_id": [f"p{i}" for i in range(n)],
            "sop_uid": [f"film{i}" for i in range(n)],
            FINDING: np.where(wrong, 1 - truth, truth),
        }
    )
    score = 1 / (1 + np.exp(-(3 * (truth * 2 - 1) + generator.normal(0, 1.5, n))))
    scores = pd.DataFrame({"sop_uid": index["sop_uid"], f"probability_{FINDING}": score})
    return normalise_index(index, [FINDING]), scores, truth


class TestAudit:
    def test_wrong_labels_come_first(self):
        index, scores, truth = noisy()
        made = audit_labels(index, scores, [FINDING], per_queue=15)
        wrong = dict(zip(index["sop_uid"], index[FINDING].to_numpy() != truth, strict=True))
        for queue in ("given_present", "given_absent"):
            part = made.queue[made.queue["queue"] == queue]
            found = part["sop_uid"].map(wrong).mean()
            base = np.mean([wrong[uid] for uid in index["sop_uid"]])
            assert found > 3 * base
            assert part["suspicion"].is_monotonic_decreasing

    def test_the_random_share_has_one_film_a_patient_and_both_labels(self):
        index, scores, _ = noisy()
        part = audit_labels(index, scores, [FINDING], per_queue=40, random_share=0.25).queue
        part = part[part["queue"] == "random"]
        patients = index.set_index("sop_uid").loc[part["sop_uid"], "patient_id"]
        assert patients.is_unique
        assert part["given"].value_counts().to_dict() == {0: 10, 1: 10}

    def test_logits_will_do(self):
        index, scores, _ = noisy()
        p = scores[f"probability_{FINDING}"]
        logits = scores[["sop_uid"]].assign(**{f"logit_{FINDING}": np.log(p / (1 - p))})
        a = audit_labels(index, scores, [FINDING]).queue
        b = audit_labels(index, logits, [FINDING]).queue
        assert a["sop_uid"].tolist() == b["sop_uid"].tolist()

    def test_an_ensemble_s_disagreement_goes_along(self):
        index, scores, _ = noisy()
        column = f"disagreement_{FINDING}"
        differing = scores.assign(**{column: np.arange(len(scores)) / 7.0})
        plain = audit_labels(index, scores, [FINDING]).queue
        queue = audit_labels(index, differing, [FINDING]).queue
        of_film = dict(zip(differing["sop_uid"], differing[column], strict=True))
        assert queue["disagreement"].tolist() == [of_film[uid] for uid in queue["sop_uid"]]
        pd.testing.assert_frame_equal(queue.drop(columns="disagreement"), plain)

    def test_scores_of_other_films_are_refused(self):
        index, scores, _ = noisy()
        with pytest.raises(InvalidTable, match="No film"):
            audit_labels(index, scores.assign(sop_uid="x" + scores["sop_uid"]), [FINDING])
        with pytest.raises(SettingsError):
            audit_labels(index, scores, [FINDING], random_share=0.0)


class TestErrorRate:
    def test_intervals_cover(self):
        """Over many audits the 95 % interval holds the true share in 93 to 97 % of them."""
        generator = np.random.default_rng(0)
        weights = np.array([300.0, 2700.0])
        held = []
        for trial in range(1500):
            rates = generator.uniform(0.02, 0.4, 2)
            counts = [(int(generator.binomial(25, rate)), 25) for rate in rates]
            whole = said.weighted_rate(counts, weights, seed=trial)[0]
            truth = float(weights @ rates / weights.sum())
            held.append(whole.low <= truth <= whole.high)
        assert 0.93 <= np.mean(held) <= 0.97

    def test_no_trials_is_no_estimate(self):
        whole, *_ = said.weighted_rate([(0, 0), (1, 10)], np.array([5.0, 5.0]))
        assert math.isnan(whole.estimate)

    def test_only_the_random_share_counts(self):
        index, scores, truth = noisy()
        queue = audit_labels(index, scores, [FINDING], per_queue=60, random_share=0.5).queue
        real = dict(zip(index["sop_uid"], truth, strict=True))
        decided = pd.DataFrame(
            [(u, FINDING, "present" if real[u] else "absent", "a", "") for u in set(queue.sop_uid)],
            columns=["sop_uid", "finding", "answer", "reader", "at"],
        )
        (rate,) = said.error_rates(queue, decided, index)
        true_rate = float((index[FINDING].to_numpy() != truth).mean())
        assert rate.rate.low <= true_rate <= rate.rate.high
        assert rate.n == (queue["queue"] == "random").sum()


class TestAnswers:
    def answers(self, *rows):
        columns = ["sop_uid", "finding", "reader", "answer", "at"]
        return pd.DataFrame(rows, columns=columns)

    def test_two_readers_who_differ_settle_nothing_until_a_third_decides(self):
        given_ = self.answers(
            ("1", FINDING, "a", "present", "1"),
            ("1", FINDING, "b", "absent", "1"),
            ("2", FINDING, "a", "present", "1"),
            ("2", FINDING, "b", "present", "1"),
        )
        decided, differing = said.settled(given_)
        assert decided["sop_uid"].tolist() == ["2"]
        assert differing["sop_uid"].tolist() == ["1"]
        third = self.answers(("1", FINDING, said.ADJUDICATOR, "absent", "2"))
        decided, differing = said.settled(pd.concat([given_, third]))
        assert dict(zip(decided["sop_uid"], decided["answer"], strict=True))["1"] == "absent"
        assert differing.empty

    def test_kappa_is_scikit_learn_s(self):
        from sklearn.metrics import cohen_kappa_score

        generator = np.random.default_rng(3)
        a = generator.integers(0, 2, 80)
        b = np.where(generator.random(80) < 0.8, a, 1 - a)
        words = np.array(["absent", "present"])
        rows = [(str(i), FINDING, "a", words[v], "1") for i, v in enumerate(a)]
        rows += [(str(i), FINDING, "b", words[v], "1") for i, v in enumerate(b)]
        (made,) = said.agreement(self.answers(*rows))
        assert made.kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)


class TestCheck:
    def test_rates_are_weighted_back_to_all_reports(self):
        """Precision, recall and F1 of a whole set are found again from a sample by state."""
        generator = np.random.default_rng(1)
        n = 4000
        truth = generator.random(n) < 0.15
        state = np.where(truth, generator.random(n) < 0.85, generator.random(n) < 0.03)
        labels = pd.DataFrame({"id": [str(i) for i in range(n)], FINDING: state.astype(int)})
        sample = draw_sample(labels, per_state=150)
        decided = pd.DataFrame(
            {
                "sop_uid": sample["id"],
                "finding": FINDING,
                "answer": ["present" if truth[int(i)] else "absent" for i in sample["id"]],
            }
        )
        (made,) = check_labels(sample, decided)
        true = int((state.astype(bool) & truth).sum())
        precision, recall = true / state.sum(), true / truth.sum()
        f1 = 2 * precision * recall / (precision + recall)
        for interval, value in ((made.precision, precision), (made.recall, recall), (made.f1, f1)):
            assert interval.low <= value <= interval.high
            assert interval.estimate == pytest.approx(value, abs=0.06)

    def test_a_poor_finding_is_refused_and_the_way_out_named(self, tmp_path):
        sample = draw_sample(pd.DataFrame({"id": ["1", "2"], FINDING: [1, 0]}))
        wrong = pd.DataFrame(
            {"sop_uid": ["1", "2"], "finding": FINDING, "answer": ["absent", "present"]}
        )
        table = tmp_path / "index.parquet"
        write_check(check_labels(sample, wrong), table)
        with pytest.raises(InvalidTable, match="--label-floor 0"):
            require_checked(table, [FINDING])
        require_checked(table, [FINDING], floor=0.0)
        require_checked(table, ["Mass"])


class TestBudget:
    def test_a_known_curve_is_found_again(self):
        sizes = np.array([50.0, 100, 200, 400, 800])
        a, b, c = fit_curve(sizes, 0.9 - 1.2 * sizes**-0.5, np.ones(5))
        assert (a, b, c) == pytest.approx((0.9, 1.2, 0.5), abs=0.02)

    def curve(self, spread, seed=0):
        generator = np.random.default_rng(seed)
        rows = [
            (FINDING, n, draw, 0.9 - 1.2 * n**-0.5 + generator.normal(0, spread))
            for n in (50, 100, 200, 400, 800)
            for draw in range(5)
        ]
        return pd.DataFrame(rows, columns=["finding", "n", "draw", "auroc"])

    def test_the_forecast_holds_the_truth(self):
        (made,) = forecast(self.curve(0.004))
        (_, gain), _ = made.gains
        truth = 1.2 * (800**-0.5 - 900**-0.5)
        assert made.reason == ""
        assert gain.low <= truth <= gain.high

    def test_noise_forecasts_nothing(self):
        flat = self.curve(0.02).assign(auroc=lambda t: 0.7 + (t["draw"] - 2) * 0.02)
        (made,) = forecast(flat)
        assert "does not rise" in made.reason
        assert made.gains == ()

    def test_two_sizes_forecast_nothing(self):
        (made,) = forecast(self.curve(0.004)[lambda t: t["n"] <= 100])
        assert "sizes" in made.reason


def test_the_whole_way_on_the_command_line(tmp_path):
    """audit, two readers, corrections, apply; evaluate says which labels it used."""
    index, scores, truth = noisy()
    index = index.assign(split="train")
    index.to_parquet(tmp_path / "index.parquet")
    scores.to_parquet(tmp_path / "scores.parquet")

    def run(*words):
        done = CliRunner().invoke(app, [*map(str, words), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    audit = tmp_path / "audit"
    run("labels", "audit", tmp_path / "index.parquet", "--predictions", tmp_path / "scores.parquet",
        "--per-queue", 20, "--out", audit)  # fmt: skip
    page = (audit / "questions.html").read_text()
    assert "Is there an effusion?" in page
    assert "probability" not in page
    assert "Labelled present" in (audit / "audit.html").read_text()
    queue = pd.read_csv(audit / "queue.csv")
    real = dict(zip(index["sop_uid"], truth, strict=True))
    for reader in ("a", "b"):
        rows = [
            (uid, FINDING, reader, "present" if real[uid] else "absent", "2026-01-01")
            for uid in queue["sop_uid"].unique()
        ]
        pd.DataFrame(rows, columns=["sop_uid", "finding", "reader", "answer", "at"]).to_csv(
            tmp_path / f"{reader}.csv", index=False
        )
    facts = run(
        "labels", "corrections", tmp_path / "index.parquet", "--answers", tmp_path / "a.csv",
        "--answers", tmp_path / "b.csv", "--audit", audit, "--out", tmp_path / "overlay.csv",
    )  # fmt: skip
    assert facts["corrections"] > 10
    assert facts["agreement"][0]["kappa"] == 1.0
    assert facts["error_rates"][0]["n"] == 4
    run("labels", "apply", tmp_path / "index.parquet", "--overlay", tmp_path / "overlay.csv",
        "--out", tmp_path / "corrected.parquet")  # fmt: skip
    corrected = pd.read_parquet(tmp_path / "corrected.parquet")
    before = (index[FINDING].to_numpy() != truth).sum()
    after = (corrected[FINDING].to_numpy() != truth).sum()
    assert after == before - facts["corrections"]
    run("labels", "apply", tmp_path / "corrected.parquet", "--revert",
        "--out", tmp_path / "back.parquet")  # fmt: skip
    back = pd.read_parquet(tmp_path / "back.parquet")
    assert back[FINDING].tolist() == index[FINDING].tolist()
    run("evaluate", tmp_path / "scores.parquet", "--labels",
        tmp_path / "corrected.parquet", "--bootstrap", 0, "--out", tmp_path / "r")  # fmt: skip
    assert "corrected by overlay" in (tmp_path / "r" / "report.html").read_text()
