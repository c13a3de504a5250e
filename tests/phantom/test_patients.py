"""Tests of who is on the film and what the label says."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.phantom import PhantomSettings
from monai_cxr.phantom.patients import examine, n_films

N = 1200


def _truths(settings: PhantomSettings) -> np.ndarray:
    return np.array([examine(settings, patient=patient).truth for patient in range(N)])


class TestPrevalence:
    def test_each_finding_reaches_its_share(self) -> None:
        settings = PhantomSettings(seed=11)
        expected = np.array([settings.prevalence[name] for name in FINDING_NAMES])
        # Four standard errors of a share; about one run in a thousand would miss by chance.
        tolerance = 4.0 * np.sqrt(expected * (1.0 - expected) / N)
        assert np.all(np.abs(_truths(settings).mean(axis=0) - expected) < tolerance)

    def test_follow_ups_keep_the_share(self) -> None:
        settings = PhantomSettings(seed=12, prevalence={"Effusion": 0.3})
        share = np.mean(
            ["Effusion" in examine(settings, patient=p, follow_up=3).severities for p in range(N)]
        )
        assert share == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / N) ** 0.5)

    def test_findings_meet_more_often_than_by_chance(self) -> None:
        truths = _truths(PhantomSettings(seed=13))
        correlation = np.corrcoef(truths.T)
        off_diagonal = correlation[~np.eye(len(FINDING_NAMES), dtype=bool)]
        assert 0.0 < off_diagonal.mean() < 0.15

    def test_zero_and_one_are_kept(self) -> None:
        settings = PhantomSettings(prevalence={"Mass": 0.0, "Hernia": 1.0})
        visits = [examine(settings, patient=patient) for patient in range(200)]
        assert not any("Mass" in visit.severities for visit in visits)
        assert all("Hernia" in visit.severities for visit in visits)

    def test_severity_keeps_to_its_range(self) -> None:
        settings = PhantomSettings(severity=(0.4, 0.6), prevalence={"Mass": 1.0})
        grades = [examine(settings, patient=patient).severities["Mass"] for patient in range(200)]
        assert 0.4 <= min(grades) < 0.43
        assert 0.57 < max(grades) <= 0.6


class TestLabelNoise:
    def test_without_noise_labels_are_the_truth(self) -> None:
        settings = PhantomSettings(seed=3)
        for patient in range(50):
            visit = examine(settings, patient=patient)
            assert np.array_equal(visit.labels, visit.truth)

    def test_misses_its_share_of_positives_and_keeps_the_prevalence(self) -> None:
        settings = PhantomSettings(seed=3, label_noise=0.3, prevalence={"Effusion": 0.4})
        index = FINDING_NAMES.index("Effusion")
        visits = [examine(settings, patient=patient) for patient in range(N)]
        truth = np.array([visit.truth[index] for visit in visits])
        labels = np.array([visit.labels[index] for visit in visits])
        assert 1.0 - labels[truth == 1].mean() == pytest.approx(0.3, abs=0.06)
        assert labels.mean() == pytest.approx(0.4, abs=0.05)

    def test_noise_does_not_change_what_is_drawn(self) -> None:
        quiet, noisy = PhantomSettings(seed=5), PhantomSettings(seed=5, label_noise=0.5)
        for patient in range(30):
            expected = examine(quiet, patient=patient).severities
            assert examine(noisy, patient=patient).severities == expected


class TestFollowUps:
    def test_a_patient_keeps_sex_and_grows_older(self) -> None:
        settings = PhantomSettings(seed=8)
        first = examine(settings, patient=4)
        later = [examine(settings, patient=4, follow_up=film) for film in range(1, 8)]
        assert {visit.sex for visit in later} == {first.sex}
        assert {visit.patient_id for visit in later} == {"PHANTOM-000004"}
        days = [first.day, *(visit.day for visit in later)]
        assert days == sorted(set(days))
        assert later[-1].age_years >= first.age_years

    def test_a_hernia_stays_and_oedema_goes(self) -> None:
        settings = PhantomSettings(seed=9, prevalence={"Hernia": 0.5, "Edema": 0.5})

        def kept(name: str) -> float:
            pairs = [
                (
                    name in examine(settings, patient=patient).severities,
                    name in examine(settings, patient=patient, follow_up=1).severities,
                )
                for patient in range(300)
            ]
            return float(np.mean([before == after for before, after in pairs]))

        assert kept("Hernia") > 0.9 > kept("Edema")

    def test_mean_number_of_films(self) -> None:
        settings = PhantomSettings(seed=2, mean_films_per_patient=2.5)
        numbers = [n_films(settings, patient) for patient in range(N)]
        assert min(numbers) == 1
        assert float(np.mean(numbers)) == pytest.approx(2.5, abs=0.2)

    def test_an_index_below_zero_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="at least 0"):
            examine(PhantomSettings(), patient=-1)


class TestIndependence:
    def test_the_view_says_nothing_about_findings(self) -> None:
        settings = PhantomSettings(seed=21)
        visits = [examine(settings, patient=patient) for patient in range(N)]
        ap = np.array([visit.view_position == "AP" for visit in visits])
        ill = np.array([bool(visit.severities) for visit in visits])
        assert abs(ill[ap].mean() - ill[~ap].mean()) < 0.12
