"""Pages: each draws for those who may see it, and for nobody else."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest
from viewer_service import analysed

from clinical_app.admission.access import PERMISSIONS, Identity
from clinical_app.admission.grants import Grants
from clinical_app.comparison import with_priors
from clinical_app.desk import study
from clinical_app.launch import NoCases
from clinical_app.service import Service, configure
from clinical_app.settings import ViewerSettings
from monai_cxr.review.cases import CaseStatus
from monai_cxr.review.local_store import LocalStore
from monai_cxr.review.reviews import FindingReview, Review

PAGES = {
    "worklist": "worklist",
    "label_audit": "review",
    "upload": "upload",
    "model_card": "model",
    "monitoring": "monitoring",
    "operations": "operations",
    "audit": "audit",
    "account": "account",
}
SECONDS = 120


def run(page: str, query: dict[str, str] | None = None) -> AppTest:
    script = f"from clinical_app.views import {page}\n{page}.page()"
    test = AppTest.from_string(script, default_timeout=SECONDS)
    for name, value in (query or {}).items():
        test.query_params[name] = value
    test.run()
    assert not test.exception
    return test


def words(test: AppTest) -> str:
    parts = [*test.title, *test.markdown, *test.caption, *test.warning, *test.error, *test.header]
    return " ".join(str(part.value) for part in parts)


@pytest.mark.parametrize("role", sorted(PERMISSIONS))
@pytest.mark.parametrize("page", sorted(PAGES))
def test_a_page_asks_for_its_permission(make_service, page, role):
    service = make_service(local_role=role)
    text = words(run(page))
    may = PAGES[page] in PERMISSIONS[role]
    assert ("Not part of your role" in text) is not may
    denied = [line.action for line in service.store.accesses(10)].count("denied")
    assert denied == (0 if may else 1)


class TestWholeApp:
    def app(self) -> AppTest:
        from clinical_app.server import SCRIPT

        test = AppTest.from_file(str(SCRIPT), default_timeout=SECONDS)
        test.run()
        assert not test.exception
        return test

    def test_opens_on_the_worklist(self, service):
        assert "No access" not in words(self.app())

    def test_asks_a_stranger_to_sign_in(self, make_service):
        make_service(authentication="proxy", proxy_secret="0123456789abcdef")
        assert "Sign in" in words(self.app())

    def test_locks_a_session_that_nobody_uses(self, service):
        now = [0.0]
        service.grants = Grants(60.0, clock=lambda: now[0])
        test = self.app()
        now[0] = 61.0
        test.run()
        assert "Locked" in words(test)
        test.button[0].click().run()
        assert "Locked" not in words(test)


class TestStudy:
    def test_opens_once_in_the_audit(self, service):
        case = analysed(service)[0]
        test = run("worklist", {"case": case.case_id})
        test.run()
        opened = [line for line in service.store.accesses(10) if line.action == "opened"]
        assert [line.study_uid for line in opened] == [case.key.study_uid]

    def test_that_is_gone_is_a_sentence(self, service):
        assert "not here" in words(run("worklist", {"case": "f" * 20}))

    def test_of_a_role_that_may_not_read_shows_nothing(self, make_service):
        service = make_service(local_role="operator")
        text = words(run("worklist", {"case": analysed(service)[0].case_id}))
        assert "Not part of your role" in text

    def test_hands_statements_in_words_to_the_component(self, service):
        case = analysed(service)[0]
        data = with_priors(service, case, Identity("anna", "viewer"), "s", ())
        assert len(data["statements"]) == len(service.model.findings)
        assert all(item["meaning"] for item in data["statements"])
        assert data["can_review"] is False
        assert case.key.patient_id not in str(data)
        assert case.key.study_uid not in str(data)


class TestModelPage:
    def test_without_performance_says_how_to_get_it(self, service):
        test = run("model_card")
        assert "monai-cxr evaluate" in test.info[0].value

    def test_with_performance_shows_the_trade(self, service, phantom_index, tmp_path):
        from monai_cxr.bundle.inference import predict_table
        from monai_cxr.evaluation.performance import evaluate
        from monai_cxr.evaluation.predictions.prediction_set import load_predictions
        from monai_cxr.evaluation.results import EvaluationIdentity
        from monai_cxr.report.files import write_report
        from monai_cxr.review.performance_file import find_performance
        from monai_cxr.tables import write_table

        write_table(
            predict_table(service.model, phantom_index.rows("test")), tmp_path / "p.parquet"
        )
        identity = service.model.identity
        performance = evaluate(
            load_predictions(tmp_path / "p.parquet"),
            n_bootstrap=20,
            identity=EvaluationIdentity(model={"name": "x", "digest": identity.digest}),
        )
        write_report(performance, tmp_path / "report")
        assert find_performance(tmp_path / "bundle", "another") is None
        service.performance = find_performance(tmp_path / "bundle", identity.digest)
        test = run("model_card")
        finding = test.selectbox(key="model_finding")
        assert finding.options[0] == "Pneumothorax"
        curves = performance.to_json()["curves"]
        drawn = next(name for name in curves if curves[name]["roc"]["fpr"])
        finding.set_value(drawn).run()
        slider = test.select_slider(key=f"threshold_{drawn}")
        slider.set_value(slider.options[0]).run()
        assert " 0 missed" in next(m.value for m in test.markdown if "Of 1,000 films" in m.value)
        rows = test.table[0].value
        assert list(rows.index.str.split(":").str[0]) == [
            "Sensitivity", "Specificity", "PPV", "NPV", "Flagged",
        ]  # fmt: skip
        test.number_input(key=f"prevalence_{drawn}").set_value(99.0).run()
        before, moved = (list(one["Chosen here (95 %)"]) for one in (rows, test.table[0].value))
        assert moved[:2] == before[:2]
        assert moved[2] != before[2]

    def test_says_that_the_bundle_on_disk_is_another(self, make_service, packaged_bundle, tmp_path):
        copy = tmp_path / "bundle"
        shutil.copytree(packaged_bundle, copy)
        service = replace(make_service(), bundle=copy)
        configure(service)
        assert not run("model_card").warning
        (copy / "digests.json").write_text("{}")
        assert "loaded before" in run("model_card").warning[0].value
        case = analysed(service)[0]
        flags = study(service, case, Identity("anna", "reader"), "s", ())["flags"]
        assert "changed" in flags[0]["text"]

    def test_a_broken_performance_file_is_left_alone(self, service, tmp_path):
        from monai_cxr.review.performance_file import find_performance

        (tmp_path / "report").mkdir()
        for text in ("{", "[]", '{"model": {"digest": "d"}, "findings": {"Mass": 1}}'):
            (tmp_path / "report" / "performance.json").write_text(text)
            assert find_performance(tmp_path / "bundle", "d") is None


class TestMonitoring:
    def test_counts_what_the_source_holds(self, service):
        test = run("monitoring")
        values = {metric.label: metric.value for metric in test.metric}
        assert values["Studies"] == "8"
        assert values["Failed"] == "2"

    def test_shows_agreement_once_somebody_judged(self, service):
        said = {"Effusion": FindingReview("disagree", "", "absent", 0.9)}
        service.store.save(Review("1", "1", "anna", "d", said, finished=True, at=1e9, seconds=9))
        test = run("monitoring")
        assert "How often readers agree" in words(test)

    def test_goes_on_when_the_store_is_gone(self, service):
        service.store.path.unlink()
        service.store.path.mkdir()
        test = run("monitoring")
        assert "Nothing was lost" in test.warning[0].value

    def test_tells_drift_beside_the_reference_of_the_bundle(self, service):
        test = run("monitoring")
        test.segmented_control(key="period").set_value("All").run()
        scores, pictures = test.table[0].value, test.table[1].value
        assert len(scores) == len(service.model.findings)
        assert set(scores["Films"]) == {"6"}
        assert set(scores["Verdict"]) == {"too few"}
        assert pictures["Picture"][0] == "Mean brightness"

    def test_says_so_where_the_bundle_has_no_reference(self, service):
        service.references = ()
        assert "carries no reference" in words(run("monitoring"))


class TestOperations:
    def test_names_reasons_and_tries_again(self, service):
        test = run("operations")
        text = words(test)
        assert "cannot be read" in text or "not an image" in text
        assert {metric.label: metric.value for metric in test.metric}["Of these, failed"] == "2"
        before = service.source.version()
        test.button(key="retry").click().run()
        assert test.toast[0].value.startswith("2 will be tried")
        assert service.source.version() > before
        service.source.update()
        assert [case.status.value for case in service.source.cases()].count("failed") == 2

    def test_tries_one_again(self, service):
        test = run("operations")
        one = next(case for case in service.source.cases() if case.refusal is not None)
        test.button(key=f"retry_{one.case_id}").click().run()
        assert test.toast[0].value.startswith("1 will be tried")
        service.source.update()


class TestEmptyAndOddStates:
    def test_empty_and_odd_states_say_what_is_not_there(self, tmp_path):
        """Pages of a viewer without a study hold a sentence where a plot or a table would be."""
        store = LocalStore(tmp_path / "reviews.sqlite")
        configure(Service(NoCases(), store, ViewerSettings(), local_user="ada"))
        page = run("monitoring")
        assert "No study has arrived yet." in words(page)
        assert "The model has not read a study yet." in words(page)
        assert not page.get("vega_lite_chart")
        assert "Nothing is held back" in words(run("operations"))

    def test_empty_and_odd_states_nothing_is_tried_again_in_vain(self, service):
        """What is no film of this model's scope would be refused again; a broken file may heal."""
        held = [case for case in service.source.cases() if case.refusal is not None]
        one, other = held[0], replace(held[1], status=CaseStatus.NOT_ANALYSED)
        service.source = Held([one, other])
        page = run("operations")
        assert f"retry_{one.case_id}" in {button.key for button in page.button}
        assert f"retry_{other.case_id}" not in {button.key for button in page.button}

    def test_empty_and_odd_states_pages_of_held_films_stand_in_one_line(self, service):
        one = next(case for case in service.source.cases() if case.refusal is not None)
        service.source = Held([replace(one, case_id=f"{n:020}") for n in range(31)])
        page = run("operations")
        assert page.number_input(key="held_page").label == "Page, 1 to 4"
        page.number_input(key="held_page").set_value(4).run()
        assert not page.exception
        assert sum((button.key or "").startswith("retry_") for button in page.button) == 1


class Held(NoCases):
    """A source of these cases."""

    def __init__(self, cases):
        self.held = cases

    def cases(self):
        return self.held


class TestAccount:
    def test_says_who_is_here_and_locks(self, make_service):
        service = make_service(local_role="viewer")
        test = run("account")
        assert "**anna** at this machine, role **viewer**" in words(test)
        may, may_not = words(test).split("You may not")
        assert "- see the worklist" in may
        assert "- judge findings and finish studies" in may_not
        assert service.audit_gaps == 0
