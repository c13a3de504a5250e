"""Distillation: what the loss is by hand, what the teacher sees, and a run from end to end."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.packaging import package
from monai_cxr.bundle.presets import expand_settings, read_preset, without_teacher
from monai_cxr.bundle.verification import verify
from monai_cxr.data.augmentation import BatchAugmentation
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.training.distillation import DistillationLoss, TaughtBatch
from monai_cxr.training.losses import FindingLoss
from monai_cxr.training.run import workflow

BUNDLE = "chest_xray_classification"
LIGHT = {
    **{"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 3},
    **{"init_features": 8, "growth_rate": 4, "block_config": [1, 1]},
}
FINDINGS = ["Effusion", "Mass", "Nodule"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A bundle of three findings at 64 px, with random weights."""
    bundle = tmp_path_factory.mktemp("teacher") / "teacher"
    settings = {"network_def": LIGHT, "findings": FINDINGS, "image_size": 64, "resize": "pad"}
    copy_bundle(find_bundle(BUNDLE), bundle, settings)
    torch.manual_seed(0)
    (bundle / "models").mkdir()
    network = build_network(read_config(bundle, "inference"))
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    return bundle


def config():
    return read_config(find_bundle(BUNDLE), "train")


def taught(teacher, findings=FINDINGS, image_size=64, resize="pad", augmentation=None):
    options = {"findings": findings, "image_size": image_size, "resize": resize}
    return TaughtBatch(augmentation, teacher=str(teacher), **options)


def supervised(n=2):
    labels = torch.tensor([[0.0, 1.0, 0.0][:n], [1.0, 0.0, 1.0][:n]])
    return FindingLoss(labels, "none")


def entropy(target, p):
    return -(target * np.log(p) + (1 - target) * np.log1p(-p))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class TestLoss:
    LABELS = torch.tensor([[1.0, 0.0], [math.nan, 1.0]])
    STUDENT = torch.tensor([[0.5, -1.0], [2.0, 0.3]])
    TEACHER = torch.tensor([[1.5, -2.0], [-1.0, 0.1]])

    def loss(self, share, temperature=3.0):
        loss = DistillationLoss(supervised(), share=share, temperature=temperature)
        return float(loss(self.STUDENT, torch.cat([self.LABELS, self.TEACHER], dim=1)))

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    @pytest.mark.parametrize("temperature", [1.0, 3.0])
    def test_by_hand(self, share, temperature):
        student, teacher = self.STUDENT.double().numpy(), self.TEACHER.double().numpy()
        soft = sigmoid(teacher / temperature)
        distance = entropy(soft, sigmoid(student / temperature)) - entropy(soft, soft)
        known = [(0.5, 1.0), (-1.0, 0.0), (0.3, 1.0)]  # the label that is unknown adds nothing
        labels = np.mean([entropy(y, sigmoid(z)) for z, y in known])
        expected = (1 - share) * labels + share * temperature**2 * distance.mean()
        assert self.loss(share, temperature) == pytest.approx(expected, rel=1e-5)

    def test_who_says_what_the_teacher_says_has_learned_all(self):
        loss = DistillationLoss(supervised(), share=1.0)
        student = self.TEACHER.clone().requires_grad_()
        value = loss(student, torch.cat([self.LABELS, self.TEACHER], dim=1))
        value.backward()
        assert float(value.detach()) == pytest.approx(0.0, abs=1e-6)
        assert float(student.grad.abs().max()) < 1e-6

    def test_in_validation_it_is_the_loss_of_the_labels(self):
        loss = DistillationLoss(supervised(), share=1.0)
        assert loss(self.STUDENT, self.LABELS) == supervised()(self.STUDENT, self.LABELS)

    def test_what_the_training_asks_of_a_loss(self):
        loss = DistillationLoss(supervised())
        loss.set_epoch(3)
        assert loss.supervised.epoch == 3
        assert torch.equal(loss.prior_logits, supervised().prior_logits)

    @pytest.mark.parametrize("options", [{"share": 1.1}, {"share": -0.1}, {"temperature": 0.5}])
    def test_out_of_range(self, options):
        with pytest.raises(SettingsError, match="teacher_share in"):
            DistillationLoss(supervised(), **options)


class TestBatch:
    def batch(self, size):
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (4, 1, size, size), generator=generator, dtype=torch.uint8)
        return {"image": images, "label": torch.ones(4, 3)}

    def test_the_teacher_sees_the_augmented_film(self, teacher):
        augmentation = BatchAugmentation(flip_probability=1.0, seed=0)
        images, labels = taught(teacher, augmentation=augmentation)(self.batch(64), "cpu")
        network = build_network(read_config(teacher, "inference")).eval()
        network.load_state_dict(torch.load(teacher / "models" / "model.pt"))
        with torch.no_grad():
            torch.testing.assert_close(labels[:, 3:], network(images), atol=1e-4, rtol=1e-4)
        assert torch.equal(labels[:, :3], torch.ones(4, 3))
        plain, _ = taught(teacher)(self.batch(64), "cpu")
        assert not torch.equal(images, plain)

    def test_another_order_and_another_size(self, teacher):
        batch = self.batch(32) | {"label": torch.ones(4, 2)}
        images, labels = taught(teacher, ["Nodule", "Effusion"], 32)(batch, "cpu")
        assert images.shape == (4, 1, 32, 32)
        _, all_three = taught(teacher, image_size=32)(self.batch(32), "cpu")
        torch.testing.assert_close(labels[:, 2:], all_three[:, [5, 3]])

    def test_refusals(self, teacher, tmp_path):
        with pytest.raises(SettingsError, match="does not know Hernia"):
            taught(teacher, [*FINDINGS, "Hernia"])
        with pytest.raises(SettingsError, match="trained with resize=pad"):
            taught(teacher, resize="stretch")
        with pytest.raises(SettingsError, match="teacher=BUNDLE"):
            taught("")
        with pytest.raises(InvalidBundle, match="is not a bundle"):
            taught(tmp_path)


class TestSettings:
    def test_the_student_takes_over_what_the_teacher_sees(self, teacher):
        preset = read_preset(find_bundle(BUNDLE), "student")
        found = expand_settings(preset | {"teacher": str(teacher), "teacher_share": 0.4}, config())
        assert (found["image_size"], found["resize"], found["findings"]) == (64, "pad", FINDINGS)
        assert found["network_def"]["name"] == "mobilenet_v3_large"
        assert found["train::loss"]["share"] == 0.4
        assert found["train::loss"]["supervised"] == config()["train"]["loss"]
        assert found["train::prepare_batch"]["teacher"] == str(teacher.resolve())

    def test_what_is_stated_goes_before(self, teacher):
        settings = {"teacher": str(teacher), "image_size": 32, "findings": ["Mass"]}
        found = expand_settings(settings, config())
        assert (found["image_size"], found["findings"]) == (32, ["Mass"])

    def test_a_share_needs_a_teacher(self):
        with pytest.raises(SettingsError, match="teacher=BUNDLE"):
            expand_settings({"teacher_share": 0.5}, config())

    def test_no_teacher_nothing_to_take_out(self):
        assert without_teacher(config()) == {}


def test_a_student_is_trained_and_packaged_without_its_teacher(teacher, phantom_index, tmp_path):
    settings = {"architecture": "small_resnet", "network_options": {"width": 4, "blocks": [1]}}
    settings |= {"teacher": str(teacher), "image_size": 32, "batch_size": 8, "max_epochs": 1}
    run = tmp_path / "run"
    workflow.train(
        workflow.prepare_run(BUNDLE, phantom_index.path, run, settings | {"num_workers": 0})
    )
    assert (run / "metrics.csv").is_file()
    bundle = tmp_path / "student"
    package(run, bundle)
    verify(bundle)
    text = "".join(path.read_text() for path in bundle.rglob("*.json"))
    assert str(teacher.parent) not in text
    train = read_config(bundle, "train")["train"]
    assert train["loss"] == config()["train"]["loss"]
    assert train["prepare_batch"] == config()["train"]["prepare_batch"]
    told = json.loads((bundle / "models" / "training.json").read_text())
    assert told["settings"]["teacher"] == "teacher"
