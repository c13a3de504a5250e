"""Augmentation: bounded, repeatable by seed and epoch, and off where it is asked to be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr.data.augmentation import BatchAugmentation, PrepareBatch, normalised
from monai_cxr.errors import SettingsError

STILL = {
    "rotate_degrees": 0.0,
    "scale": 0.0,
    "translate": 0.0,
    "crop": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "gamma": 0.0,
}


def films(n: int = 3, size: int = 16, seed: int = 0) -> torch.Tensor:
    """Smooth films in the network's range [-2, 2]."""
    noise = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, size=(size, size), mode="bilinear")
    return (smooth - 0.5) / 0.25


class TestWhatStays:
    def test_nothing_changes_without_widths(self):
        images = films()
        torch.testing.assert_close(BatchAugmentation(**STILL)(images), images, atol=1e-4, rtol=0)

    def test_a_sure_flip_is_a_mirror(self):
        images = films()
        flipped = BatchAugmentation(**STILL, flip_probability=1.0)(images)
        torch.testing.assert_close(flipped, images.flip(-1), atol=1e-4, rtol=0)

    def test_films_are_never_mirrored_by_default(self):
        ramp = torch.linspace(-1, 1, 32).expand(16, 1, 32, 32).contiguous()
        augmented = BatchAugmentation()(ramp)
        assert (augmented[..., -6:].mean(dim=(1, 2, 3)) > augmented[..., :6].mean((1, 2, 3))).all()

    def test_the_input_is_not_changed(self):
        images = films()
        before = images.clone()
        BatchAugmentation()(images)
        assert torch.equal(images, before)

    @settings(deadline=None, max_examples=25)
    @given(
        widths=st.fixed_dictionaries({name: st.floats(0, 0.9) for name in STILL}),
        n=st.integers(1, 4),
    )
    def test_shape_type_and_range(self, widths, n):
        images = films(n)
        augmented = BatchAugmentation(**widths, flip_probability=0.5)(images)
        assert augmented.shape == images.shape
        assert augmented.dtype == torch.float32
        assert augmented.min() >= -2
        assert augmented.max() <= 2


class TestGray:
    """On a film of one gray value the geometry shows nothing, so the gray changes can be read."""

    def film(self, value: float, n: int = 200) -> torch.Tensor:
        return torch.full((n, 1, 2, 2), (value - 0.5) / 0.25)

    def values(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 0, 0] * 0.25 + 0.5

    def test_brightness_is_added(self):
        shift = self.values(BatchAugmentation(**STILL | {"brightness": 0.1})(self.film(0.5))) - 0.5
        assert -0.1 <= shift.min() < -0.09
        assert 0.09 < shift.max() <= 0.1

    def test_contrast_is_about_mid_gray(self):
        change = BatchAugmentation(**STILL | {"contrast": 0.2})
        torch.testing.assert_close(self.values(change(self.film(0.5))), torch.full((200,), 0.5))
        factor = (self.values(change(self.film(0.75))) - 0.5) / 0.25
        assert 0.8 <= factor.min() < 0.82
        assert 1.18 < factor.max() <= 1.2001

    def test_gamma_is_an_exponent(self):
        change = BatchAugmentation(**STILL | {"gamma": 0.3})
        exponent = self.values(change(self.film(0.5))).log() / torch.tensor(0.5).log()
        assert exponent.log().abs().max() <= 0.3001
        assert exponent.log().abs().max() > 0.28


class TestGeometry:
    def test_a_shift_moves_by_at_most_its_share_of_the_side(self):
        point = torch.full((64, 1, 41, 41), -2.0)
        point[:, :, 19:22, 19:22] = 2.0
        moved = BatchAugmentation(**STILL | {"translate": 0.1})(point).clamp_min(-1.9) + 1.9
        positions = torch.arange(41.0)
        centre = (moved.sum((1, 2)) * positions).sum(1) / moved.sum((1, 2, 3))
        assert (centre - 20).abs().max() <= 4.2
        assert (centre - 20).abs().max() > 2.5

    def test_a_crop_is_a_window_inside_the_film(self):
        ramp = torch.linspace(-1.9, 1.9, 40).expand(64, 1, 40, 40).contiguous()
        cropped = BatchAugmentation(**STILL | {"crop": 0.5})(ramp)[:, 0, 0]
        side = (cropped[:, -1] - cropped[:, 0]) / 3.8
        assert (side >= 0.49).all()
        assert (side < 1.01).all()
        assert side.min() < 0.55
        assert side.max() > 0.95
        # Nowhere is the border repeated: the window never leaves the film.
        assert (cropped.diff(dim=1) > 0).all()
        assert cropped[:, 0].max() > -1.0

    def test_a_rotation_keeps_the_centre(self):
        point = torch.full((8, 1, 41, 41), -2.0)
        point[:, :, 20, 20] = 2.0
        turned = BatchAugmentation(**STILL | {"rotate_degrees": 45.0})(point)
        assert (turned[:, 0, 20, 20] > 1.9).all()


class TestRepeats:
    def test_an_epoch_is_a_function_of_the_seed_and_its_number(self):
        images = films()
        one, two = BatchAugmentation(seed=3), BatchAugmentation(seed=3)
        one.set_epoch(5)
        first, second = one(images), one(images)
        two.set_epoch(4)
        two(images)
        two.set_epoch(5)
        assert torch.equal(two(images), first)
        assert torch.equal(two(images), second)
        assert not torch.equal(first, second)

    @pytest.mark.parametrize(("seed", "epoch"), [(0, 2), (1, 1)])
    def test_other_seeds_and_epochs_differ(self, seed, epoch):
        images = films()
        here, there = BatchAugmentation(seed=0), BatchAugmentation(seed=seed)
        here.set_epoch(1)
        there.set_epoch(epoch)
        assert not torch.equal(here(images), there(images))

    def test_each_film_has_its_own_draw(self):
        same = films(1).expand(2, -1, -1, -1).contiguous()
        first, second = BatchAugmentation()(same)
        assert not torch.equal(first, second)


class TestEightBits:
    def test_films_of_a_cache_are_changed_like_normalised_ones(self):
        eight = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8)
        images = (eight.float() / 255 - 0.5) / 0.25
        torch.testing.assert_close(normalised(eight), images)
        assert normalised(images) is images
        ours, theirs = BatchAugmentation(seed=2), BatchAugmentation(seed=2)
        torch.testing.assert_close(ours(eight), theirs(images))
        prepared, _ = PrepareBatch()({"image": eight, "label": torch.zeros(3, 1)})
        torch.testing.assert_close(prepared, images)


class TestSettings:
    @pytest.mark.parametrize(
        "bad", [{"rotate_degrees": -1}, {"scale": 1.0}, {"crop": 1.0}, {"flip_probability": 1.1},
                {"gamma": float("nan")}, {"contrast": -0.1}],
    )  # fmt: skip
    def test_impossible_widths(self, bad):
        with pytest.raises(SettingsError, match=f"Expected {next(iter(bad))}"):
            BatchAugmentation(**bad)


class TestPrepareBatch:
    batch = {"image": films(), "label": torch.tensor([[0.0, float("nan")]] * 3), "sop_uid": ["a"]}  # noqa: RUF012

    def test_evaluation_leaves_films_as_they_are(self):
        images, labels = PrepareBatch()(self.batch, "cpu", True)
        assert torch.equal(images, self.batch["image"])
        assert torch.equal(labels.isnan(), self.batch["label"].isnan())

    def test_training_augments_the_films_alone(self):
        images, labels = PrepareBatch(BatchAugmentation())(self.batch)
        assert not torch.equal(images, self.batch["image"])
        assert labels[0, 0] == 0

    @pytest.mark.parametrize("channels_last", [True, False])
    def test_memory_format(self, channels_last):
        images, _ = PrepareBatch(channels_last=channels_last)(self.batch)
        wanted = torch.channels_last if channels_last else torch.contiguous_format
        assert images.is_contiguous(memory_format=wanted)
