"""Tests of rendered films and their truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.phantom import PhantomFilm, PhantomSettings, render_film
from monai_cxr.phantom.film import bounds

HEALTHY = dict.fromkeys(FINDING_NAMES, 0.0)
# These change the whole chest, not only what lies under their mask.
RESHAPING = {"Atelectasis", "Cardiomegaly", "Emphysema", "Fibrosis"}


def _film(finding: str | None = None, *, patient: int = 0, size: int = 160) -> PhantomFilm:
    prevalence = HEALTHY if finding is None else {**HEALTHY, finding: 1.0}
    return render_film(PhantomSettings(seed=17, size=size, prevalence=prevalence), patient=patient)


class TestPixels:
    def test_one_image_form(self) -> None:
        film = _film()
        assert film.pixels.dtype == np.float32
        assert film.pixels.ndim == 2
        assert max(film.pixels.shape) == 160
        assert film.pixels.min() >= 0.0
        assert film.pixels.max() <= 1.0

    def test_the_mediastinum_is_brighter_than_the_lungs(self) -> None:
        for patient in range(6):
            film = _film("Emphysema", patient=patient)
            lungs = film.masks["Emphysema"]
            heart = _film("Cardiomegaly", patient=patient)
            assert heart.pixels[heart.masks["Cardiomegaly"]].mean() > film.pixels[lungs].mean()

    def test_films_are_not_all_square_and_not_alike(self) -> None:
        films = [_film(patient=patient, size=96) for patient in range(14)]
        shapes = {film.pixels.shape for film in films}
        assert len(shapes) > 1
        brightness = [float(film.pixels.mean()) for film in films]
        assert float(np.std(brightness)) > 0.03

    def test_size_sets_the_resolution_and_not_the_picture(self) -> None:
        small, large = _film(size=128), _film(size=256)
        shrunk = large.pixels.reshape(small.pixels.shape[0], 2, -1, 2).mean(axis=(1, 3))
        assert np.corrcoef(shrunk.ravel(), small.pixels.ravel())[0, 1] > 0.97


class TestDeterminism:
    def test_the_same_arguments_give_the_same_film(self) -> None:
        settings = PhantomSettings(seed=3, size=96)
        first = render_film(settings, patient=5, follow_up=1)
        second = render_film(settings, patient=5, follow_up=1)
        assert np.array_equal(first.pixels, second.pixels)
        assert first.boxes == second.boxes

    @pytest.mark.parametrize("changed", [{"seed": 4}, {"patient": 6}, {"follow_up": 2}])
    def test_another_seed_patient_or_visit_gives_another_film(
        self, changed: dict[str, int]
    ) -> None:
        what = {"seed": 3, "patient": 5, "follow_up": 1, **changed}
        film = render_film(
            PhantomSettings(seed=what["seed"], size=96),
            patient=what["patient"], follow_up=what["follow_up"],
        )  # fmt: skip
        reference = render_film(PhantomSettings(seed=3, size=96), patient=5, follow_up=1)
        assert film.pixels.shape != reference.pixels.shape or not np.array_equal(
            film.pixels, reference.pixels
        )

    def test_label_noise_does_not_move_a_pixel(self) -> None:
        quiet = render_film(PhantomSettings(seed=3, size=96), patient=2)
        noisy = render_film(PhantomSettings(seed=3, size=96, label_noise=0.9), patient=2)
        assert np.array_equal(quiet.pixels, noisy.pixels)


@pytest.mark.parametrize("finding", FINDING_NAMES)
class TestFinding:
    def test_has_a_mask_and_its_bounds_as_box(self, finding: str) -> None:
        for patient in range(5):
            film = _film(finding, patient=patient, size=112)
            mask = film.masks[finding]
            assert mask.dtype == np.bool_
            assert mask.shape == film.pixels.shape
            assert mask.any()
            x, y, width, height = (int(value) for value in film.boxes[finding])
            assert mask[y : y + height, x : x + width].sum() == mask.sum()
            assert mask[y, :].any()
            assert mask[y + height - 1, :].any()
            assert mask[:, x].any()
            assert mask[:, x + width - 1].any()

    def test_changes_the_film_mostly_under_its_mask(self, finding: str) -> None:
        inside, outside = [], []
        for patient in range(4):
            healthy, ill = _film(patient=patient), _film(finding, patient=patient)
            change = np.abs(ill.processed - healthy.processed)
            # The window follows the whole film: a shift of all pixels is not the finding.
            near = binary_dilation(ill.masks[finding], iterations=4)
            inside.append(float(change[ill.masks[finding]].mean()))
            outside.append(float(np.median(change[~near])))
        assert np.mean(inside) > (1.0 if finding in RESHAPING else 1.7) * np.mean(outside)
        assert np.mean(inside) > 0.02

    def test_truth_and_labels_name_it_alone(self, finding: str) -> None:
        film = _film(finding, size=96)
        expected = np.array([name == finding for name in FINDING_NAMES], dtype=np.float32)
        assert np.array_equal(film.truth, expected)
        assert np.array_equal(film.labels, expected)
        assert set(film.present) == set(film.masks) == set(film.boxes) == {finding}

    def test_can_be_drawn_on_the_smallest_film(self, finding: str) -> None:
        for patient in range(6):
            assert _film(finding, patient=patient, size=64).masks[finding].any()


class TestMeaning:
    def test_a_mass_is_larger_than_three_centimetres_and_a_nodule_smaller(self) -> None:
        for patient in range(6):
            mass = _film("Mass", patient=patient, size=256)
            _, _, width, height = mass.boxes["Mass"]
            assert max(width, height) * mass.pixel_spacing_mm[0] > 30.0
        single = [_film("Nodule", patient=patient, size=256) for patient in range(10)]
        areas = [film.masks["Nodule"].sum() * film.pixel_spacing_mm[0] ** 2 for film in single]
        # At most four discs of three centimetres.
        assert max(areas) < 4 * np.pi * 15.0**2

    def test_a_large_heart_is_wider(self) -> None:
        for patient in range(4):
            film = _film("Cardiomegaly", patient=patient)
            chest = _film("Emphysema", patient=patient).boxes["Emphysema"][2]
            assert film.boxes["Cardiomegaly"][2] > 0.5 * chest

    def test_severity_grows_the_effusion(self) -> None:
        def area(grade: float) -> float:
            settings = PhantomSettings(
                seed=17, size=128, severity=(grade, grade), prevalence={**HEALTHY, "Effusion": 1.0}
            )
            films = [render_film(settings, patient=patient) for patient in range(5)]
            return float(np.mean([film.masks["Effusion"].mean() for film in films]))

        assert area(0.3) < area(0.6) < area(1.0)

    def test_a_pneumothorax_is_darker_than_the_lung_was(self) -> None:
        for patient in range(4):
            healthy, ill = _film(patient=patient), _film("Pneumothorax", patient=patient)
            mask = ill.masks["Pneumothorax"]
            relative = ill.processed[mask].mean() - ill.processed[~mask].mean()
            before = healthy.processed[mask].mean() - healthy.processed[~mask].mean()
            assert relative < before

    def test_both_sides_are_met(self) -> None:
        sides = []
        for patient in range(16):
            film = _film("Effusion", patient=patient, size=96)
            x, _, width, _ = film.boxes["Effusion"]
            sides.append(x + width / 2 > film.pixels.shape[1] / 2)
        assert 2 <= sum(sides) <= 14


class TestProperties:
    @given(
        patient=st.integers(0, 10_000),
        follow_up=st.integers(0, 3),
        size=st.integers(64, 120),
        findings=st.sets(st.sampled_from(FINDING_NAMES), max_size=14),
    )
    @hypothesis_settings(max_examples=25, deadline=None, derandomize=True)
    def test_any_mixture_renders_with_masks_inside_the_film(
        self, patient: int, follow_up: int, size: int, findings: set[str]
    ) -> None:
        prevalence = {name: float(name in findings) for name in FINDING_NAMES}
        film = render_film(
            PhantomSettings(seed=1, size=size, prevalence=prevalence),
            patient=patient, follow_up=follow_up,
        )  # fmt: skip
        assert set(film.present) == findings
        assert np.isfinite(film.processed).all()
        rows, columns = film.pixels.shape
        for name in findings:
            x, y, width, height = film.boxes[name]
            assert film.masks[name].any()
            assert 0 <= x < x + width <= columns
            assert 0 <= y < y + height <= rows


class TestFacts:
    def test_repr_names_no_patient(self) -> None:
        assert "PHANTOM" not in repr(_film(size=96))

    def test_facts_come_from_the_visit(self) -> None:
        film = _film(patient=3, size=96)
        assert film.patient_id == "PHANTOM-000003"
        assert film.view_position in {"PA", "AP"}
        assert film.sex in {"M", "F"}
        assert 18 <= film.age_years <= 100
        assert film.follow_up == 0
        assert film.pixel_spacing_mm[0] * max(film.pixels.shape) == pytest.approx(370, abs=60)

    def test_a_negative_patient_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="at least 0"):
            render_film(PhantomSettings(size=96), patient=-1)

    def test_bounds_of_one_pixel(self) -> None:
        mask = np.zeros((4, 5), dtype=np.bool_)
        mask[2, 3] = True
        assert bounds(mask) == (3.0, 2.0, 1.0, 1.0)
