"""Digests: a changed byte, a lacking or an added file is noticed before anything is parsed."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from monai_cxr.bundle import model as model_module
from monai_cxr.bundle.digests import (
    DIGESTS_NAME,
    check_digests,
    file_digest,
    model_digest,
    write_digests,
)
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import InvalidBundle


@pytest.fixture
def bundle(packaged_bundle, tmp_path):
    return shutil.copytree(packaged_bundle, tmp_path / "copy")


@pytest.fixture
def nothing_parsed(monkeypatch):
    """Fail the test when a config or the weights are opened."""

    def parsed(*_, **__):
        pytest.fail("A file was parsed before the digests were compared.")

    for name in ("read_config", "open_runtime", "read_calibrator"):
        monkeypatch.setattr(model_module, name, parsed)


def flip(path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


class TestUnchanged:
    def test_as_hashlib(self, bundle):
        recorded = check_digests(bundle)
        assert len(recorded) == len([p for p in bundle.rglob("*") if p.is_file()]) - 1
        for name, digest in recorded.items():
            assert digest == hashlib.sha256((bundle / name).read_bytes()).hexdigest()

    def test_writing_again_gives_the_same_bytes(self, bundle):
        before = (bundle / DIGESTS_NAME).read_bytes()
        write_digests(bundle)
        assert (bundle / DIGESTS_NAME).read_bytes() == before

    def test_what_monai_writes_into_a_bundle_does_not_count(self, bundle):
        (bundle / "eval").mkdir()
        (bundle / "eval" / "findings.csv").write_text("image\n")
        (bundle / ".hidden").write_text("")
        check_digests(bundle)


@pytest.mark.usefixtures("nothing_parsed")
class TestChanged:
    @pytest.mark.parametrize(
        "name",
        [
            "models/model.pt",
            "models/calibration.json",
            "models/operating_points.json",
            "configs/inference.json",
            "configs/logging.conf",
            "docs/README.md",
            "LICENSE",
        ],
    )
    def test_one_bit(self, bundle, name):
        flip(bundle / name)
        with pytest.raises(InvalidBundle, match=f"The file {name} .*was changed"):
            BundleModel.load(bundle)

    def test_missing(self, bundle):
        (bundle / "models" / "model.pt").unlink()
        with pytest.raises(InvalidBundle, match=r"lacks its file models/model\.pt"):
            BundleModel.load(bundle)

    @pytest.mark.parametrize(
        "name", ["configs/extra.json", "models/extra.pt", "torch.py", "scripts/__init__.py"]
    )
    def test_added(self, bundle, name):
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_text("")
        with pytest.raises(InvalidBundle, match=f"not packaged with it: {name}"):
            BundleModel.load(bundle)

    @pytest.mark.parametrize("name", ["../outside.json", "configs/../../outside.json"])
    def test_a_path_that_leaves_the_bundle(self, bundle, name):
        outside = bundle.parent / "outside.json"
        outside.write_text("{}")
        self.record(bundle, {name: file_digest(outside)})
        with pytest.raises(InvalidBundle, match="names a file outside of it"):
            BundleModel.load(bundle)

    def test_an_absolute_path(self, bundle):
        outside = bundle.parent / "outside.json"
        outside.write_text("{}")
        self.record(bundle, {str(outside): file_digest(outside)})
        with pytest.raises(InvalidBundle, match="names a file outside of it"):
            BundleModel.load(bundle)

    def test_a_run_file_does_not_switch_the_check_off(self, bundle):
        (bundle / "run.json").write_text("{}")
        flip(bundle / "models" / "model.pt")
        with pytest.raises(InvalidBundle, match=r"models/model\.pt"):
            BundleModel.load(bundle)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}', "{", "\xff"])
    def test_damaged_digests(self, bundle, text):
        (bundle / DIGESTS_NAME).write_text(text, encoding="latin-1")
        with pytest.raises(InvalidBundle, match="is damaged"):
            BundleModel.load(bundle)

    def test_no_digests(self, bundle):
        (bundle / DIGESTS_NAME).unlink()
        with pytest.raises(InvalidBundle, match="it is not packaged"):
            BundleModel.load(bundle)

    @staticmethod
    def record(bundle, more: dict[str, str]) -> None:
        content = json.loads((bundle / DIGESTS_NAME).read_text())
        content["files"] |= more
        (bundle / DIGESTS_NAME).write_text(json.dumps(content))


class TestModelDigest:
    digests = {  # noqa: RUF012
        "models/model.pt": "1",
        "models/calibration.json": "2",
        "configs/inference.json": "3",
        "docs/README.md": "4",
    }

    @pytest.mark.parametrize("name", ["models/model.pt", "models/calibration.json"])
    def test_changes_with_what_decides_a_prediction(self, name):
        assert model_digest(self.digests | {name: "9"}) != model_digest(self.digests)

    def test_does_not_change_with_the_rest(self):
        assert model_digest(self.digests | {"docs/README.md": "9"}) == model_digest(self.digests)
        assert model_digest(dict(reversed(self.digests.items()))) == model_digest(self.digests)
