"""Film readers: order, the bound, readers that die, readers that hang, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr.reading import reader_process, reader_template
from monai_cxr.reading.film_input import InputSpec, PreparedFilm, RefusedFilm, read_film_input
from monai_cxr.reading.film_readers import read_ahead
from monai_cxr.reading.reader_limits import ReaderLimits
from monai_cxr.reading.reader_process import ReaderProcess
from monai_cxr.reading.readings import NetworkInputs

SPECS = (InputSpec(32, "stretch"), InputSpec(48, "pad"))
INPUTS = NetworkInputs(SPECS)


@pytest.fixture(scope="module")
def paths(phantom_index):
    return [Path(path) for path in phantom_index.table["path"][:6]]


@pytest.fixture
def started(monkeypatch):
    """Every child that is started."""
    children = []
    start = ReaderProcess._start

    def recorded(self):
        children.append(start(self))
        return children[-1]

    monkeypatch.setattr(ReaderProcess, "_start", recorded)
    return children


def same(one, other):
    assert isinstance(one, PreparedFilm)
    assert one.facts == other.facts
    for a, b in zip(one.inputs, other.inputs, strict=True):
        assert a.dtype == b.dtype == np.float32
        assert np.array_equal(a, b)


@pytest.fixture
def template():
    """A template of the test's own."""
    reader_template.close_template()
    yield
    reader_template.close_template()


class TestFilms:
    @pytest.mark.parametrize(("workers", "processes"), [(1, False), (3, False), (2, True)])
    def test_are_those_of_the_file_in_order(self, paths, workers, processes):
        films = list(read_ahead(paths, SPECS, workers=workers, ahead=4, processes=processes))
        for film, path in zip(films, paths, strict=True):
            same(film, read_film_input(path, SPECS))
            assert [one.shape for one in film.inputs] == [(1, 32, 32), (1, 48, 48)]

    def test_are_the_same_where_readers_are_not_forked(self, paths, monkeypatch):
        monkeypatch.setattr(reader_template, "IS_AVAILABLE", False)
        monkeypatch.setattr(reader_template, "fork_reader", None)
        films = list(read_ahead(paths, SPECS, workers=2, ahead=4))
        for film, path in zip(films, paths, strict=True):
            same(film, read_film_input(path, SPECS))

    def test_a_refusal_crosses_the_process(self, paths, tmp_path):
        (tmp_path / "text.dcm").write_text("no film")
        wanted = [paths[0], tmp_path / "text.dcm", tmp_path / 'no "such" \n file', paths[1]]
        films = list(read_ahead(wanted, SPECS, workers=1, ahead=2))
        assert [isinstance(film, PreparedFilm) for film in films] == [True, False, False, True]
        assert films[1].reason == "not_an_image"
        assert films[2].reason == "missing_file"

    @pytest.mark.parametrize("processes", [False, True])
    def test_never_more_in_flight_than_the_bound(self, tmp_path, processes):
        path = tmp_path / "film.png"
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
        taken = 0

        def counted():
            nonlocal taken
            for _ in range(60):
                taken += 1
                yield path

        ahead, given, most = 7, 0, 0
        for _ in read_ahead(counted(), SPECS, workers=2, ahead=ahead, processes=processes):
            most = max(most, taken - given)
            given += 1
        assert given == 60
        assert most <= ahead


class TestReadersThatDie:
    def test_one_killed_from_outside_is_replaced_and_the_film_read(self, paths):
        reader = ReaderProcess()
        try:
            same(reader.read(INPUTS, paths[0]), read_film_input(paths[0], SPECS))
            reader._child.kill()
            reader._child.wait()
            same(reader.read(INPUTS, paths[1]), read_film_input(paths[1], SPECS))
        finally:
            reader.close()

    def test_a_file_that_kills_its_reader_is_refused_and_the_rest_is_read(
        self, paths, tmp_path, monkeypatch, template
    ):
        # The child reads with a decoder that ends its process over one file.
        (tmp_path / "sitecustomize.py").write_text(
            textwrap.dedent("""
                import os, pathlib
                read_bytes = pathlib.Path.read_bytes
                def poisoned(self):
                    if self.name == "poison.dcm":
                        os.kill(os.getpid(), 9)
                    return read_bytes(self)
                pathlib.Path.read_bytes = poisoned
            """)
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "poison.dcm").write_bytes(paths[0].read_bytes())
        wanted = [paths[0], tmp_path / "poison.dcm", paths[1], paths[2]]
        films = list(read_ahead(wanted, SPECS, workers=2, ahead=4))
        assert films[1].reason == "reader_crashed"
        for i in (0, 2, 3):
            same(films[i], read_film_input(wanted[i], SPECS))

    def test_a_file_that_takes_too_long_is_refused(self, paths):
        reader = ReaderProcess(ReaderLimits(timeout_s=0.001))  # less than the film needs
        try:
            film = reader.read(INPUTS, paths[0])
        finally:
            reader.close()
        assert isinstance(film, RefusedFilm)
        assert film.reason == "reader_timeout"

    def test_one_that_hangs_after_others_were_read_is_replaced(self, paths):
        reader = ReaderProcess(ReaderLimits(timeout_s=2.0))
        try:
            for path in paths[:3]:
                same(reader.read(INPUTS, path), read_film_input(path, SPECS))
            os.kill(reader._child.pid, signal.SIGSTOP)
            start = time.monotonic()
            assert reader.read(INPUTS, paths[3]).reason == "reader_timeout"
            assert time.monotonic() - start >= 2.0
            same(reader.read(INPUTS, paths[3]), read_film_input(paths[3], SPECS))
        finally:
            reader.close()

    def test_an_answer_that_is_no_answer(self, paths, monkeypatch):
        def start(self):
            return subprocess.Popen(
                [sys.executable, "-c", "print('x' * 100)"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )

        monkeypatch.setattr(reader_process.ReaderProcess, "_start", start)
        reader = ReaderProcess()
        try:
            assert reader.read(INPUTS, paths[0]).reason == "reader_crashed"
        finally:
            reader.close()


@pytest.mark.skipif(not reader_template.IS_AVAILABLE, reason="readers are forked on Linux")
class TestTemplate:
    def test_one_serves_every_run(self, paths, template, monkeypatch):
        started = []
        start = reader_template.spawn
        monkeypatch.setattr(
            reader_template, "spawn", lambda *a, **k: started.append(start(*a, **k)) or started[-1]
        )
        for workers in (1, 3):
            for film in read_ahead(paths, SPECS, workers=workers, ahead=4):
                assert isinstance(film, PreparedFilm)
        assert len(started) == 1
        # Its readers have been reaped: no process is left of it.
        children = Path(f"/proc/{started[0].pid}/task/{started[0].pid}/children")
        if children.exists():
            assert children.read_text() == ""

    def test_reaps_what_it_killed_and_waits_for_no_other(self):
        sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        try:
            killed.kill()
            ended = {sleeping.pid, killed.pid}
            reader_template._reap(ended)
            assert ended == {sleeping.pid}
        finally:
            sleeping.kill()
            sleeping.wait()
            killed.wait()

    def test_has_one_thread_when_it_forks(self, paths, template):
        reader = ReaderProcess()
        try:
            reader.read(INPUTS, paths[0])
            pid = reader_template.template_pid()
            assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
        finally:
            reader.close()

    def test_one_that_was_killed_is_replaced_and_its_readers_still_end(self, paths, template):
        reader, later = ReaderProcess(), ReaderProcess()
        try:
            reader.read(INPUTS, paths[0])
            child, killed = reader._child.pid, reader_template._shared._process
            killed.kill()
            killed.wait()
            same(reader.read(INPUTS, paths[1]), read_film_input(paths[1], SPECS))
            same(later.read(INPUTS, paths[2]), read_film_input(paths[2], SPECS))
            assert reader_template.template_pid() != killed.pid
        finally:
            reader.close()
            later.close()
        assert _ends(child)

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_of_the_parent_has_its_own(self, paths, template):
        list(read_ahead(paths[:1], SPECS, workers=1, ahead=1))
        pid = os.fork()
        if pid == 0:
            os._exit(0 if reader_template.template_pid() is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert reader_template.template_pid() is not None


class TestEnd:
    def test_closing_early_ends_the_readers(self, paths, started):
        films = read_ahead(paths * 5, SPECS, workers=2, ahead=6)
        next(films)
        films.close()
        assert started
        assert all(child.returncode is not None for child in started)

    def test_an_interrupt_in_the_consumer_ends_the_readers(self, paths, started):
        films = read_ahead(paths * 5, SPECS, workers=2, ahead=6)
        with pytest.raises(KeyboardInterrupt):
            _interrupted(films)
        films.close()
        assert all(child.returncode is not None for child in started)

    def test_a_closed_reader_starts_no_child(self, paths, started):
        reader = ReaderProcess()
        reader.close()
        assert isinstance(reader.read(INPUTS, paths[0]), RefusedFilm)
        assert started == []

    @pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the child in /proc")
    def test_readers_do_not_outlive_a_killed_parent(self, paths):
        code = (
            "from pathlib import Path\n"
            "from monai_cxr.reading.film_input import InputSpec\n"
            "from monai_cxr.reading.reader_process import ReaderProcess\n"
            "from monai_cxr.reading.readings import NetworkInputs\n"
            "reader = ReaderProcess()\n"
            "inputs = NetworkInputs((InputSpec(32, 'stretch'),))\n"
            f"reader.read(inputs, Path({str(paths[0])!r}))\n"
            "from monai_cxr.reading import reader_template\n"
            "print(reader._child.pid, reader_template.template_pid() or 0, flush=True)\n"
            "import time\ntime.sleep(600)\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        children = [int(pid) for pid in parent.stdout.readline().split() if pid != "0"]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        assert all(_ends(child) for child in children)


def _interrupted(films):
    for _ in films:
        raise KeyboardInterrupt


def _ends(pid):
    deadline = time.monotonic() + 120
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _runs(pid)


def _runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
