"""MONAI's plain inference command: each number under its film's name, each refusal kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from plain_monai import configs, typed
from zoo import MARKS_OF_MONAI, config_file

from monai_cxr.bundle.config import find_bundle
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.transforms import shown_names
from monai_cxr.data.folder import film_paths
from monai_cxr.data.inference_films import film_list
from monai_cxr.errors import InvalidTable
from monai_cxr.reading.files import read_radiograph
from monai_cxr.training.failures import causes

pytestmark = MARKS_OF_MONAI
SMALL = ["--image_size", 32, "--batch_size", 8, "--max_epochs", 1, "--num_workers", 0]


def scores(bundle: Path, path: Path | str) -> list[float]:
    model = BundleModel.load(bundle, device="cpu", runtime="torch")
    return [score.probability for score in model.predict([read_radiograph(path)])[0].scores]


def infer(bundle: Path, out: Path, **more: object) -> pd.DataFrame:
    """MONAI's own function behind its command, in this process."""
    from monai.bundle import run

    options = {"meta_file": str(bundle / "configs" / "metadata.json"), "logging_file": False}
    places = {"bundle_root": str(bundle), "output_dir": str(out)}
    run(config_file=config_file(bundle, "inference"), **options, **places, **more)
    return pd.read_csv(out / "findings.csv")


@pytest.fixture(scope="module")
def films(phantom_index, tmp_path_factory) -> list[Path]:
    """Six films in folders of patients, each named view1.dcm but for the last two."""
    root = tmp_path_factory.mktemp("ward") / "films of a ward"
    made = []
    for i, path in enumerate(phantom_index.table["path"][:6]):
        name = f"patient{i}/study 1/view1.dcm" if i < 4 else f"other{i}.dcm"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / name)
        made.append(root / name)
    return made


class TestWrongFilmNames:
    def test_wrong_film_names(self, packaged_bundle, films, tmp_path):
        """Data from elsewhere, and another folder as dataset_dir: the data's films are named."""
        wanted = [str(films[5]), str(films[4])]
        data = {"dataset::data": [{"image": path} for path in wanted]}
        table = infer(packaged_bundle, tmp_path, dataset_dir=str(films[0].parent), **data)
        assert table["image"].tolist() == ["other5.dcm", "other4.dcm"]
        for path, row in zip(wanted, table.iloc[:, 1:].to_numpy(), strict=True):
            np.testing.assert_allclose(row, scores(packaged_bundle, path), atol=1e-5)

    def test_wrong_film_names_where_names_repeat(self, packaged_bundle, films, tmp_path):
        root = films[-1].parent
        table = infer(packaged_bundle, tmp_path, dataset_dir=str(root)).set_index("image")
        assert sorted(table.index) == sorted(str(path.relative_to(root)) for path in films)
        for name, row in table.iterrows():
            np.testing.assert_allclose(row, scores(packaged_bundle, root / name), atol=1e-5)

    @pytest.mark.parametrize(
        ("paths", "names"),
        [
            (["/a/x.png", "/b/y.png"], ["x.png", "y.png"]),
            (["/a/p1/v.png", "/a/p2/v.png"], ["p1/v.png", "p2/v.png"]),
            (["/a/v.png", "/a/sub folder/v.png"], ["v.png", "sub folder/v.png"]),
            (["p1/v.png", "p2/v.png"], ["p1/v.png", "p2/v.png"]),
            (["v.png"], ["v.png"]),
        ],
    )
    def test_shown_names(self, paths, names):
        assert shown_names(paths) == names


class TestRefusedFilms:
    def test_refused_film_scored(self, packaged_bundle, films, tmp_path):
        """What our reader refuses gets a reason, no number; the others are scored."""
        folder = tmp_path / "mixed films"
        folder.mkdir()
        shutil.copy(films[4], folder / "good.dcm")
        gray = np.linspace(0, 255, 128 * 128).reshape(128, 128).astype(np.uint8)
        picture = Image.fromarray(gray)
        picture.save(folder / "two_pages.tif", save_all=True, append_images=[picture])
        rainbow = picture.convert("P")
        rainbow.putpalette([value for i in range(256) for value in (255 - i, i * 7 % 256, i)])
        rainbow.save(folder / "palette.png")
        (folder / "empty.dcm").write_bytes(b"")
        table = infer(packaged_bundle, tmp_path / "out", dataset_dir=str(folder))
        table = table.set_index("image")
        expected = scores(packaged_bundle, folder / "good.dcm")
        numbers = table.drop(columns="reason")
        np.testing.assert_allclose(numbers.loc["good.dcm"], expected, atol=1e-5)
        refused = table.drop(index="good.dcm")
        assert sorted(refused.index) == ["empty.dcm", "palette.png", "two_pages.tif"]
        assert numbers.loc[refused.index].isna().all(axis=None)
        assert refused["reason"].str.fullmatch(r"[a-z_]+").all()

    def test_refused_film_scored_alone(self, packaged_bundle, tmp_path):
        (tmp_path / "films").mkdir()
        (tmp_path / "films" / "empty.png").write_bytes(b"")
        with pytest.raises(RuntimeError) as caught:  # MONAI's wrapping; the command tells the cause
            infer(packaged_bundle, tmp_path / "out", dataset_dir=str(tmp_path / "films"))
        told = [str(error) for error in causes(caught.value) if isinstance(error, InvalidTable)]
        assert told[0].startswith("None of the 1 films could be scored")
        assert pd.read_csv(tmp_path / "out" / "findings.csv")["reason"].notna().all()


class TestNothingFound:
    def test_nothing_found_is_success(self, packaged_bundle, tmp_path):
        """As it is typed: one sentence, no traceback, and nothing written."""
        command = [*configs(packaged_bundle, "inference"), "--output_dir", tmp_path / "out"]
        more = ("--dataset_dir", tmp_path / "no such folder")
        done = typed(*command, *more, cwd=tmp_path, check=False)
        assert done.returncode != 0
        last = done.stderr.splitlines()[-1]
        assert last.startswith("monai-cxr: ")
        assert "'no such folder' is not a folder" in last
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("files", [(), ("notes.xlsx",)])
    def test_an_empty_folder(self, tmp_path, files):
        for name in files:
            (tmp_path / name).write_bytes(b"1")
        with pytest.raises(InvalidTable, match="No film found"):
            film_list(tmp_path)
        with pytest.raises(InvalidTable, match="No film found"):
            film_paths(tmp_path)  # as the configs of version 0.1.0 list their films
        with pytest.raises(InvalidTable, match="is not a folder"):
            film_paths(tmp_path / "absent")


class TestLoad:
    def test_bundle_load_needs_data(self, packaged_bundle, tmp_path, monkeypatch):
        """MONAI's own call for transfer: the network with its weights, and no film is asked for."""
        import torch
        from monai.bundle import ConfigWorkflow, load

        monkeypatch.chdir(tmp_path)
        root = packaged_bundle.parent
        for kind in ("train", "inference"):
            network = load(packaged_bundle.name, bundle_dir=root, workflow_type=kind)
            weights = torch.load(packaged_bundle / "models" / "model.pt", weights_only=True)
            state = network.state_dict()
            assert all(torch.equal(state[name].cpu(), value) for name, value in weights.items())
        # As MONAI Deploy does: the config alone, from another folder.
        workflow = ConfigWorkflow(
            config_file=str(packaged_bundle / "configs" / "inference.json"),
            meta_file=str(packaged_bundle / "configs" / "metadata.json"),
            workflow_type="infer",
            logging_file=False,
        )
        workflow.initialize()
        for name in ("network_def", "preprocessing", "postprocessing"):
            assert getattr(workflow, name) is not None


@pytest.mark.slow
def test_plain_training_leads_nowhere(phantom_index, films, tmp_path):
    """The bundle's README from the top: train, infer, package, verify and predict."""
    bundle = tmp_path / "my bundle"
    shutil.copytree(find_bundle("chest_xray_classification"), bundle)
    shutil.copy(phantom_index.path, bundle / "index.parquet")
    train = [*configs(".", "train"), "--index", "index.parquet", *SMALL]
    typed(*train, cwd=bundle)
    infer = [*configs(".", "inference"), "--dataset_dir", films[0].parent]
    typed(*infer, cwd=bundle)
    table = pd.read_csv(bundle / "eval" / "findings.csv")
    assert table.columns[1].startswith("logit_")  # not calibrated, and not called a probability
    model = BundleModel.load(bundle, device="cpu", runtime="torch")
    assert model.image_size == 32  # as trained, not as the config was
    logits = model.predict([read_radiograph(films[0])])[0].scores
    np.testing.assert_allclose(
        table.iloc[0, 1:].astype(float), [score.logit for score in logits], atol=1e-5
    )
    from monai_cxr.bundle.packaging import package
    from monai_cxr.bundle.verification import verify

    package(bundle, tmp_path / "packed bundle")
    assert len(verify(tmp_path / "packed bundle").findings) == 14
    typed(*infer, cwd=tmp_path / "packed bundle")
    table = pd.read_csv(tmp_path / "packed bundle" / "eval" / "findings.csv")
    expected = scores(tmp_path / "packed bundle", films[0])
    np.testing.assert_allclose(table.iloc[0, 1:].astype(float), expected, atol=1e-5)
