"""Cache: the same pixels, kept over kill -9, full disks, damage and changed settings."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted_faults import LIMITS, REASONS, plant, planted  # noqa: F401 - a fixture

from monai_cxr.data.cache import BLOCK, BLOCKS_NAME, FILMS_NAME, CacheSettings, FilmCache
from monai_cxr.data.cache_build import build_cache
from monai_cxr.errors import InvalidTable, SettingsError, UnreadableImage
from monai_cxr.preprocessing import prepare
from monai_cxr.reading.files import read_radiograph
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS

SETTINGS = CacheSettings(16)


def write_films(folder, n, side=24):
    """So many different PNG films, as a table with paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        pixels = rng.integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:04d}.png")
    names = [f"{i:04d}.png" for i in range(n)]
    return pd.DataFrame({"sop_uid": names, "path": [str(folder / name) for name in names]})


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films of two blocks and a bit. Read them, do not change them."""
    return write_films(tmp_path_factory.mktemp("films"), 2 * BLOCK + 5)


class TestPixels:
    def test_are_those_of_preprocessing_to_half_a_gray_level(self, films, tmp_path):
        cache = FilmCache(tmp_path, films, SETTINGS)
        summary = build_cache(cache, workers=0)
        assert (summary.n_films, summary.n_made, summary.n_kept) == (len(films), len(films), 0)
        stored = cache.array()
        for row in (0, BLOCK - 1, BLOCK, len(films) - 1):
            wanted = prepare(read_radiograph(cache.paths[row]), 16)
            np.testing.assert_allclose(stored[row] / 255, wanted, atol=0.5 / 255 + 1e-6)

    def test_dicom_and_resize_policy(self, phantom_index, tmp_path):
        for settings in (CacheSettings(20), CacheSettings(20, "pad", "header")):
            cache = FilmCache(tmp_path, phantom_index.table, settings)
            build_cache(cache, workers=0)
            wanted = prepare(read_radiograph(cache.paths[3]), 20, resize=settings.resize)
            np.testing.assert_allclose(cache.array()[3] / 255, wanted, atol=0.5 / 255 + 1e-6)

    def test_processes_make_the_same_bytes(self, films, tmp_path):
        alone = FilmCache(tmp_path / "1", films, SETTINGS)
        parallel = FilmCache(tmp_path / "2", films, SETTINGS)
        build_cache(alone, workers=0)
        told = []
        build_cache(parallel, workers=2, progress=lambda *done: told.append(done))
        content = [(c.folder / FILMS_NAME).read_bytes() for c in (alone, parallel)]
        assert content[0] == content[1]
        assert told[0] == (0, len(films))
        assert told[-1] == (len(films), len(films))

    def test_the_order_of_the_index_does_not_matter(self, films, tmp_path):
        one = FilmCache(tmp_path, films, SETTINGS)
        other = FilmCache(tmp_path, films.sample(frac=1, random_state=0), SETTINGS)
        assert one.folder == other.folder


class TestKeys:
    def test_whatever_shapes_pixels_makes_another_cache(self, films, tmp_path, monkeypatch):
        folders = {FilmCache(tmp_path, films, SETTINGS).folder}
        for change in ({"size": 17}, {"resize": "pad"}, {"policy": "header"}):
            settings = dataclasses.replace(SETTINGS, **change)
            folders.add(FilmCache(tmp_path, films, settings).folder)
        folders.add(FilmCache(tmp_path, films.iloc[1:], SETTINGS).folder)
        moved = films.assign(path=films["path"] + "x")
        folders.add(FilmCache(tmp_path, moved, SETTINGS).folder)
        monkeypatch.setattr("monai_cxr.data.cache.package_version", lambda: "99.0")
        folders.add(FilmCache(tmp_path, films, SETTINGS).folder)
        assert len(folders) == 7

    @pytest.mark.parametrize("bad", [{"size": 0}, {"resize": "squash"}, {"policy": "best"}])
    def test_impossible_settings(self, bad):
        with pytest.raises(SettingsError, match="Expected"):
            CacheSettings(**{"size": 8, **bad})

    def test_no_films_and_films_twice(self, films, tmp_path):
        with pytest.raises(InvalidTable, match="0 rows"):
            FilmCache(tmp_path, films.head(0), SETTINGS)
        with pytest.raises(InvalidTable) as caught:
            FilmCache(tmp_path, pd.concat([films, films]), SETTINGS)
        assert caught.value.reason == "duplicated_images"


class TestResume:
    def test_a_second_build_reads_nothing(self, films, tmp_path):
        cache = FilmCache(tmp_path, films, SETTINGS)
        build_cache(cache, workers=0)
        before = (cache.folder / BLOCKS_NAME).read_bytes()
        summary = build_cache(cache, workers=0)
        assert (summary.n_made, summary.n_kept) == (0, len(films))
        assert (cache.folder / BLOCKS_NAME).read_bytes() == before

    def test_an_unfinished_cache_is_not_read(self, films, tmp_path):
        cache = FilmCache(tmp_path, films, SETTINGS)
        with pytest.raises(InvalidTable, match="monai-cxr cache"):
            cache.array()

    def test_damaged_bytes_are_noticed_and_made_again(self, films, tmp_path):
        cache = FilmCache(tmp_path, films, SETTINGS)
        build_cache(cache, workers=0)
        whole = (cache.folder / FILMS_NAME).read_bytes()
        with (cache.folder / FILMS_NAME).open("r+b") as stream:
            stream.seek(cache.offset(BLOCK + 1))
            stream.write(b"\x00\x01\x02")
        summary = build_cache(cache, workers=0)
        assert (summary.n_rebuilt_blocks, summary.n_made) == (1, BLOCK)
        assert (cache.folder / FILMS_NAME).read_bytes() == whole

    @pytest.mark.parametrize("length", [0, 100, 5000])
    def test_a_short_file_is_noticed(self, films, tmp_path, length):
        cache = FilmCache(tmp_path, films, SETTINGS)
        build_cache(cache, workers=0)
        whole = (cache.folder / FILMS_NAME).read_bytes()
        (cache.folder / FILMS_NAME).write_bytes(whole[:length])
        assert build_cache(cache, workers=0).n_rebuilt_blocks == 3
        assert (cache.folder / FILMS_NAME).read_bytes() == whole

    @pytest.mark.parametrize("junk", [b'{"block": 1, "sha', b"[]", b'{"block": 0}', b"\xc3("])
    def test_a_torn_journal_line_is_passed_over(self, films, tmp_path, junk):
        cache = FilmCache(tmp_path, films, SETTINGS)
        build_cache(cache, workers=0)
        lines = (cache.folder / BLOCKS_NAME).read_bytes().splitlines()
        (cache.folder / BLOCKS_NAME).write_bytes(b"\n".join([*lines[:-1], junk]))
        assert build_cache(cache, workers=0).n_kept == 2 * BLOCK
        assert build_cache(cache, workers=0).n_kept == len(films)

    def test_a_replaced_film_is_read_again(self, tmp_path):
        films = write_films(tmp_path / "films", 3)
        cache = FilmCache(tmp_path, films, SETTINGS)
        build_cache(cache, workers=0)
        Image.fromarray(np.full((30, 30), 255, np.uint8)).save(films["path"][1])
        assert build_cache(cache, workers=0).n_rebuilt_blocks == 1
        assert (cache.array()[1] == 255).all()

    def test_a_finished_cache_outlives_its_films(self, tmp_path):
        films = write_films(tmp_path / "films", 3)
        cache = FilmCache(tmp_path, films, SETTINGS)
        build_cache(cache, workers=0)
        for path in (tmp_path / "films").iterdir():
            path.unlink()
        assert build_cache(cache, workers=0).n_kept == 3


KILLED = """
import os, signal, sys
import pandas as pd
from pathlib import Path
from monai_cxr.data.cache import CacheSettings, FilmCache
from monai_cxr.data.cache_build import build_cache

def report(done, total):
    if done > total // 3:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    cache = FilmCache(Path(sys.argv[1]), pd.read_csv(sys.argv[2], dtype=str), CacheSettings(16))
    build_cache(cache, workers=int(sys.argv[3]), progress=report)
"""


class TestKill9:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_goes_on_where_it_was_killed(self, tmp_path, workers):
        films = write_films(tmp_path / "films", 5 * BLOCK, side=16)
        films.to_csv(tmp_path / "films.csv", index=False)
        (tmp_path / "build.py").write_text(KILLED, encoding="utf-8")
        command = [sys.executable, "build.py", "cache", "films.csv", str(workers)]
        # The pipe closes when the last worker has ended: they do not outlive their parent.
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ, stdout=subprocess.PIPE, timeout=300
        )
        assert done.returncode == -signal.SIGKILL
        cache = FilmCache(tmp_path / "cache", films, SETTINGS)
        kept = len(cache.records())
        assert 1 <= kept < 5
        summary = build_cache(cache, workers=0)
        assert (summary.n_kept, summary.n_rebuilt_blocks) == (kept * BLOCK, 0)
        fresh = FilmCache(tmp_path / "fresh", films, SETTINGS)
        build_cache(fresh, workers=0)
        assert (cache.array() == fresh.array()).all()


def test_two_who_build_at_once_make_each_film_once(tmp_path):
    films = write_films(tmp_path / "films", BLOCK + 3, side=16)
    caches = [FilmCache(tmp_path / "cache", films, SETTINGS) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        made = [summary.n_made for summary in threads.map(partial(build_cache, workers=0), caches)]
    assert sorted(made) == [0, len(films)]


FULL = """
import resource, signal, sys
import pandas as pd
from pathlib import Path
from monai_cxr.data.cache import CacheSettings, FilmCache
from monai_cxr.data.cache_build import build_cache
from monai_cxr.errors import SettingsError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (33_500, 33_500))
cache = FilmCache(Path(sys.argv[1]), pd.read_csv(sys.argv[2], dtype=str), CacheSettings(16))
try:
    build_cache(cache, workers=0)
except SettingsError as error:
    print(error)
"""


class TestFullDisk:
    def test_says_so_and_keeps_what_is_finished(self, films, tmp_path):
        """The system refuses to make a file longer than 33.5 kB, as a full disk would."""
        films.to_csv(tmp_path / "films.csv", index=False)
        command = [sys.executable, "-c", FULL, "cache", "films.csv"]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
        )
        assert "Free some space" in done.stdout
        assert "finished films are kept" in done.stdout
        cache = FilmCache(tmp_path / "cache", films, SETTINGS)
        assert sorted(cache.records()) == [0, 1]
        assert build_cache(cache, workers=0).n_kept == 2 * BLOCK


@pytest.mark.parametrize("fault", ["SEGV", "HANG"])
@pytest.mark.parametrize("workers", [1, None])
def test_a_film_that_costs_its_reader_is_left_out_alone(
    phantom_index,
    tmp_path,
    planted,  # noqa: F811
    workers,
    fault,
):
    table = phantom_index.table.head(4)[["sop_uid", "path"]]
    uid = plant(Path(table["path"][0]), tmp_path / "planted.dcm", fault)
    rows = [{"sop_uid": uid, "path": str(tmp_path / "planted.dcm")}]
    films = pd.concat([pd.DataFrame(rows), table], ignore_index=True)
    cache = FilmCache(tmp_path / "cache", films, SETTINGS)
    summary = build_cache(cache, workers=workers, limits=LIMITS.get(fault, DEFAULT_LIMITS))
    assert summary.unreadable == ((uid, REASONS[fault]),)
    clean = FilmCache(tmp_path / "clean", table, SETTINGS)
    build_cache(clean, workers=0)
    rows = [cache.sop_uids.index(name) for name in clean.sop_uids]
    assert (cache.array()[rows] == clean.array()).all()
    assert build_cache(cache).n_kept == len(films)  # it is not tried again and again


class TestUnreadable:
    @pytest.fixture
    def films(self, tmp_path):
        films = write_films(tmp_path / "films", BLOCK + 3)
        truncate(tmp_path / "films" / "0002.png")
        (tmp_path / "films" / f"{BLOCK:04d}.png").unlink()
        return films

    def test_are_named_and_skipped(self, films, tmp_path):
        cache = FilmCache(tmp_path, films, SETTINGS)
        wanted = (("0002.png", "damaged_pixels"), (f"{BLOCK:04d}.png", "missing_file"))
        assert build_cache(cache, workers=0).unreadable == wanted
        again = build_cache(cache, workers=0)
        assert (again.unreadable, again.n_made) == (wanted, 0)

    def test_stop_at_the_first_and_go_on_with_skip(self, films, tmp_path):
        cache = FilmCache(tmp_path, films, SETTINGS)
        for _ in range(2):
            with pytest.raises(
                UnreadableImage, match=r"'0002.png'.*--on-unreadable skip"
            ) as caught:
                build_cache(cache, workers=0, on_unreadable="stop")
            assert caught.value.reason == "damaged_pixels"
        assert build_cache(cache, workers=0).n_kept == BLOCK

    def test_a_film_that_was_fetched_again_is_read(self, films, tmp_path):
        cache = FilmCache(tmp_path, films, SETTINGS)
        build_cache(cache, workers=0)
        write_films(tmp_path / "films", BLOCK + 3)
        assert build_cache(cache, workers=0, on_unreadable="stop").unreadable == ()

    def test_no_film_at_all(self, tmp_path):
        films = pd.DataFrame({"sop_uid": ["a"], "path": [str(tmp_path / "a.png")]})
        with pytest.raises(UnreadableImage, match="None of the 1 films") as caught:
            build_cache(FilmCache(tmp_path, films, SETTINGS), workers=0)
        assert caught.value.reason == "missing_file"

    def test_unknown_policy(self, films, tmp_path):
        with pytest.raises(SettingsError, match="skip or stop"):
            build_cache(FilmCache(tmp_path, films, SETTINGS), on_unreadable="ignore")
