from __future__ import annotations

import json
import math
import re
from html import escape
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from evaluation_data import made_up_table

from monai_cxr.evaluation.decisions.operating_points import choose_operating_points
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.results import EvaluationIdentity
from monai_cxr.evaluation.robustness import robustness_curve
from monai_cxr.evaluation.statistics.localization import localization_by_finding, localize_film
from monai_cxr.report import published
from monai_cxr.report.files import write_report
from monai_cxr.report.inspection import ReportExtras, WorstError
from monai_cxr.report.model_card import model_card
from monai_cxr.report.page import render_page

PIXEL = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def performance():
    predictions = load_predictions(made_up_table())
    points = choose_operating_points(
        predictions.probabilities,
        predictions.labels,
        predictions.patient_ids,
        findings=predictions.findings,
        n_bootstrap=20,
    )
    identity = EvaluationIdentity(
        "NIH ChestX-ray14", "official test", "NIH v2020", {"name": "<Model>", "version": "1"}
    )
    return evaluate(predictions, n_bootstrap=40, operating_points=points, identity=identity)


class Balanced(HTMLParser):
    """Refuses tags that do not nest."""

    VOID = frozenset({"meta", "img", "br", "path", "line", "rect", "circle"})

    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.links += [v for k, v in attributes if k in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


class TestPage:
    def test_nests_and_calls_nobody(self, performance):
        errors = [
            WorstError("Mass", "1.2.3", 0.9, 0, PIXEL, PIXEL),
            WorstError("Mass", "1.2.4", 0.1, 1, "https://tracker.example/film.png"),
        ]
        page = render_page(performance, ReportExtras(worst_errors=errors))
        parser = Balanced()
        parser.feed(page)
        assert parser.open == []
        assert parser.links == [PIXEL, PIXEL]
        assert "tracker" not in page
        assert not re.search(r"@import|url\(|<script|<link", page)

    def test_text_is_escaped(self, performance):
        page = render_page(performance)
        assert "&lt;Model&gt;" in page
        assert "<Model>" not in page

    def test_says_once_what_it_is_not(self, performance):
        assert render_page(performance).lower().count("not a medical device") == 1

    def test_every_finding_has_its_panels(self, performance):
        page = render_page(performance)
        assert page.count('class="title"') == 4 * 3
        for heading in ("Findings", "Reliability", "ROC curves", "Operating points", "Subgroups",
                        "Limitations", "Model, data and method"):  # fmt: skip
            assert f"<h2>{heading}</h2>" in page

    def test_gaps_are_shown_as_gaps(self):
        table = made_up_table(40).assign(label_Edema=0.0, label_Hernia=np.nan)
        page = render_page(evaluate(load_predictions(table), n_bootstrap=10))
        assert "not estimable" in page
        assert "Read this first" in page
        assert ">nan<" not in page.lower()
        assert "nan " not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).lower()

    def test_localization_and_robustness(self, performance):
        rng = np.random.default_rng(0)
        mask = np.zeros((8, 8), dtype=bool)
        mask[2:5, 2:5] = True
        films = [
            localize_film(rng.random((8, 8)), mask, finding="Mass", patient_id=str(i))
            for i in range(6)
        ]
        predictions = load_predictions(made_up_table())
        noisy = predictions.with_probabilities(0.9 * predictions.probabilities)
        points = robustness_curve(predictions, {1.0: noisy}, perturbation="noise", n_bootstrap=20)
        extras = ReportExtras(
            localization=localization_by_finding(films, n_bootstrap=20), robustness=points
        )
        page = render_page(performance, extras)
        assert "<h2>Localization</h2>" in page
        assert "<h2>Robustness</h2>" in page


class TestPublishedResults:
    def test_only_those_of_the_same_split(self, performance):
        page = render_page(performance)
        for result in published.all_results():
            assert (f"<td>{escape(result.name)}</td>" in page) == (result.split == "official test")

    def test_none_for_another_split_or_other_data(self):
        predictions = load_predictions(made_up_table(30))
        for data, split in (("NIH ChestX-ray14", "validation"), ("Phantom", "official test")):
            identity = EvaluationIdentity(data, split)
            page = render_page(evaluate(predictions, n_bootstrap=5, identity=identity))
            assert "Published results" not in page

    def test_rows_agree_with_their_printed_means(self):
        for result in published.all_results():
            assert result.split in (*published.SPLITS, "other")
            assert result.source
            if result.auroc:
                assert len(result.by_finding()) == 14
                digits = 0.5 * 10.0 ** -len(f"{result.macro:g}".split(".")[1])
                assert np.mean(result.auroc) == pytest.approx(result.macro, abs=digits + 1e-4)

    def test_the_whole_tables_are_there(self):
        assert len(published.published_results("official test")) >= 20
        assert len(published.published_results("random by patient")) == 9
        assert all(len(r.auroc) == 14 for r in published.published_results("random by patient"))

    @pytest.mark.parametrize(
        ("text", "split"),
        [
            ("official", "official test"),
            ("Official test", "official test"),
            ("official_train_val", "official_train_val"),
            ("random", "random by patient"),
            ("val", "val"),
            ("Official-Test", "official test"),
            ("not the official one", "not the official one"),
            ("unofficial test", "unofficial test"),
            ("random films", "random films"),
            ("Random by patient", "random by patient"),
            ("official test without Hernia", "official test without Hernia"),
        ],
        ids=lambda text: f"split_name_misread:{text}",
    )
    def test_splits_by_other_names(self, text, split):
        assert published.split_named(text) == split

    def test_an_unknown_split_has_none(self):
        with pytest.raises(ValueError, match="split"):
            published.published_results("my split")


class TestFiles:
    def test_all_are_written_and_agree(self, performance, tmp_path):
        written = write_report(performance, tmp_path / "new")
        assert [path.name for path in written] == [
            "performance.json", "performance.csv", "performance.tex", "model_card.md",
            "reliability.svg", "roc.svg", "precision_recall.svg", "decision.svg", "report.html",
        ]  # fmt: skip
        assert {path.name for path in (tmp_path / "new").iterdir()} == {p.name for p in written}
        value = json.loads((tmp_path / "new" / "performance.json").read_text())
        table = pd.read_csv(tmp_path / "new" / "performance.csv").set_index("finding")
        for name, entry in value["findings"].items():
            assert table.loc[name, "auroc"] == pytest.approx(entry["auroc"]["estimate"])
            assert table.loc[name, "ece"] == pytest.approx(entry["ece"])
        assert table.loc["macro", "auroc"] == pytest.approx(value["macro"]["auroc"]["estimate"])

    def test_svg_files_stand_alone(self, performance, tmp_path):
        for path in write_report(performance, tmp_path):
            if path.suffix == ".svg":
                root = ElementTree.fromstring(path.read_text())
                assert root.tag.endswith("svg")
                assert "<style>" in path.read_text()

    def test_latex_is_a_table(self, performance, tmp_path):
        write_report(performance, tmp_path)
        text = (tmp_path / "performance.tex").read_text()
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert {line.count("&") for line in rows} == {5}
        assert "nan" not in text

    def test_the_same_numbers_give_the_same_bytes(self, performance, tmp_path):
        for name in ("a", "b"):
            write_report(performance, tmp_path / name)
        for path in (tmp_path / "a").iterdir():
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


class TestModelCard:
    def test_the_same_numbers(self, performance):
        card = model_card(
            performance, title="Model", description="For films.", sections={"Training": "Long."}
        )
        for item in performance:
            assert str(item.auroc) in card
        assert card.startswith("# Model\n\nFor films.\n")
        assert "## Training\n\nLong." in card
        assert card.lower().count("not a medical device") == 1

    def test_gaps(self):
        table = made_up_table(40).assign(label_Edema=0.0)
        card = model_card(
            evaluate(load_predictions(table), n_bootstrap=0, subgroups=False),
            title="Model",
            description="",
        )
        assert "| Edema | 121 | 0 | not estimable |" in card
        assert "nan" not in card.lower()


def test_nan_never_reaches_a_scale():
    from monai_cxr.report.plot_frame import Scale

    assert Scale((0.0, 1.0), (0.0, 10.0))(math.nan) == 0.0
