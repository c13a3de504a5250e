"""Memory map: the same batches as MONAI's own data set, from one gather."""

from __future__ import annotations

import pickle

import pytest
import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, LoadImaged, ScaleIntensityd

from monai_cxr.data.augmentation import PrepareBatch
from monai_cxr.data.cache import CacheSettings, FilmCache
from monai_cxr.data.cache_build import build_cache
from monai_cxr.data.loaders import film_dataset, index_items
from monai_cxr.data.memory_map import MemoryMappedFilms, collate
from monai_cxr.data.reader import RadiographReader
from monai_cxr.data.transforms import PrepareRadiographd
from monai_cxr.errors import InvalidTable, SettingsError, UnreadableImage

# MONAI's LoadImage makes every reader it knows, also those of absent packages.
pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")


def steps(**reader):
    load = LoadImaged("image", RadiographReader, image_only=True, **reader)
    return [load, PrepareRadiographd("image", 24)]


@pytest.fixture(scope="module")
def both(phantom_index, tmp_path_factory):
    """MONAI's data set and ours, of the same films."""
    data = index_items(phantom_index.path, "train")
    how = {"index": phantom_index.path, "progress": False}
    folder = tmp_path_factory.mktemp("cache")
    return [film_dataset(data, Compose(steps()), cache_dir=d, **how) for d in ("", folder)]


class TestSameAsMonai:
    def test_kinds_and_rows(self, both):
        assert isinstance(both[0], CacheDataset)
        assert isinstance(both[1], MemoryMappedFilms)
        assert [item["sop_uid"] for item in both[1].data] == [
            item["sop_uid"] for item in both[0].data
        ]

    @pytest.mark.parametrize("workers", [0, 1])
    def test_batches(self, both, workers):
        order = torch.randperm(len(both[0]), generator=torch.Generator().manual_seed(1)).tolist()
        batches = []
        for dataset in both:
            loader = DataLoader(
                dataset, batch_size=5, sampler=order, collate_fn=collate, num_workers=workers
            )
            batches.append(list(loader))
        assert len(batches[0]) == len(batches[1])
        for monai_s, ours in zip(*batches, strict=True):
            assert ours["image"].dtype == torch.uint8
            assert list(ours["sop_uid"]) == list(monai_s["sop_uid"])
            (images, labels), (wanted, _) = (PrepareBatch()(batch) for batch in (ours, monai_s))
            assert images.dtype == torch.float32
            torch.testing.assert_close(images, wanted, atol=0.5 / 255 / 0.25 + 1e-5, rtol=0)
            torch.testing.assert_close(labels, monai_s["label"], equal_nan=True)

    def test_one_film(self, both):
        item = both[1][3]
        assert item["image"].shape == (1, 24, 24)
        assert item["sop_uid"] == both[0][3]["sop_uid"]
        assert torch.equal(both[1][-1]["image"], both[1][len(both[1]) - 1]["image"])
        with pytest.raises(IndexError):
            both[1][len(both[1])]

    def test_films_on_a_device(self, both):
        ours = both[1]
        elsewhere = MemoryMappedFilms(ours.cache, ours.data, device="meta")
        assert elsewhere.films.shape == (len(ours), 24, 24)
        assert elsewhere.__getitems__([2, 0])["image"].device.type == "meta"

    def test_a_device_without_memory_for_them(self, both, monkeypatch):
        def full(*_: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        elsewhere = MemoryMappedFilms(both[1].cache, both[1].data, device="meta")
        monkeypatch.setattr(torch.Tensor, "to", full)
        with pytest.raises(SettingsError, match=rf"{len(both[1])} films.*cache_device=cpu"):
            elsewhere.films  # noqa: B018


class TestProcesses:
    def test_films_do_not_travel(self, both):
        ours = both[1]
        before = len(pickle.dumps(ours))
        ours[0]
        sent = pickle.dumps(ours)
        assert len(sent) == before
        assert torch.equal(pickle.loads(sent)[1]["image"], ours[1]["image"])


class TestUnreadable:
    def test_are_left_out(self, phantom_index, tmp_path, capsys):
        table = phantom_index.table
        bad = tmp_path / "bad.dcm"
        bad.write_bytes(b"\x89PNG\r\n\x1a\n but not really")
        row = table.index[table["split"] == "train"][1]
        table.loc[row, "path"] = str(bad)
        path = tmp_path / "index.csv"
        table.to_csv(path, index=False)
        data = index_items(path, "train")
        ours = film_dataset(data, Compose(steps()), index=path, cache_dir=tmp_path, progress=False)
        assert len(ours) == len(data) - 1
        assert table.loc[row, "sop_uid"] not in [item["sop_uid"] for item in ours.data]
        told = capsys.readouterr().err
        assert f"1 of {len(table)} films cannot be read" in told
        assert "damaged_pixels" in told

    def test_are_left_out_by_monai_s_cache_too_or_stopped_at(self, phantom_index, tmp_path, capsys):
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"\x89PNG\r\n\x1a\n but not really")
        data = index_items(phantom_index.path, "val")
        data[1] = {**data[1], "image": str(bad), "sop_uid": "1.2.3"}
        how = {"index": phantom_index.path, "progress": False}
        dataset = film_dataset(data, Compose(steps()), **how)
        assert [item["sop_uid"] for item in dataset.data] == [
            item["sop_uid"] for item in data if item["sop_uid"] != "1.2.3"
        ]
        told = capsys.readouterr().err
        assert f"1 of {len(data)} films cannot be read" in told
        assert "'1.2.3' (damaged_pixels)" in told
        with pytest.raises(UnreadableImage, match=r"'1.2.3' \(damaged_pixels\)"):
            film_dataset(data, Compose(steps()), on_unreadable="stop", **how)

    def test_none_left(self, phantom_index, tmp_path):
        cache = FilmCache(tmp_path, phantom_index.table, CacheSettings(8))
        build_cache(cache, workers=0)
        with pytest.raises(InvalidTable, match="No film of this split"):
            MemoryMappedFilms(cache, [])

    def test_films_of_another_index(self, both):
        other = [{"sop_uid": "9.9", "label": torch.zeros(1), "image": "x"}]
        with pytest.raises(InvalidTable, match=r"1 of 1 films are not in the cache.*'9.9'"):
            MemoryMappedFilms(both[1].cache, other)


class TestSettings:
    @pytest.mark.parametrize(
        "other",
        [
            lambda: steps()[:1],
            lambda: [*steps(), ScaleIntensityd("image")],
            lambda: steps(check_scope=True),
            lambda: [LoadImaged("image", "PILReader"), steps()[1]],
        ],
        ids=["unprepared", "more", "scope", "reader"],
    )
    def test_what_a_cache_cannot_stand_for(self, phantom_index, tmp_path, other):
        transform = Compose(other())
        with pytest.raises(SettingsError, match="takes any transform"):
            film_dataset([], transform, index=phantom_index.path, cache_dir=tmp_path)

    def test_come_from_the_transform(self, phantom_index, tmp_path):
        data = index_items(phantom_index.path, "val")
        load = LoadImaged("image", RadiographReader, image_only=True, policy="none")
        transform = Compose([load, PrepareRadiographd("image", 20, "pad")])
        ours = film_dataset(data, transform, index=phantom_index.path, cache_dir=tmp_path)
        assert ours.cache.settings == CacheSettings(20, "pad", "none")
