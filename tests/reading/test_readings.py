"""Readings: what a reader answers is what reading in this process gives, whatever is asked."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted_faults import LIMITS, REASONS, plant, planted  # noqa: F401 - a fixture

from monai_cxr.errors import UnreadableImage, UnsupportedImage
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.reading.film_input import InputSpec, RefusedFilm
from monai_cxr.reading.film_readers import FilmReaders, read_apart
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS, ReaderLimits
from monai_cxr.reading.readings import Display, NetworkInputs, PixelDigest, SmallPicture, WholeFilm

READINGS = (
    NetworkInputs((InputSpec(32, "stretch", "any"), InputSpec(48, "pad", "any"))),
    SmallPicture(24, "pad", "auto"),
    Display(),
    WholeFilm(),
    PixelDigest(),
)
CASES = [
    (film, reading)
    for film in ("phantom", "tagged", "picture")
    for reading in READINGS
    if film != "picture" or not isinstance(reading, PixelDigest)  # asked of DICOM files alone
]


@pytest.fixture(scope="module")
def readers():
    with FilmReaders(1) as made:
        yield made


@pytest.fixture(scope="module")
def films(phantom_index, tmp_path_factory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("readings") / "film.png"
    values = np.random.default_rng(3).integers(0, 4096, (60, 40)).astype(np.uint16)
    Image.fromarray((values >> 4).astype(np.uint8)).save(path)
    tagged = synthetic_dicom(
        values,
        PixelPaddingValue=0,
        ImagerPixelSpacing=[0.2, 0.3],
        PatientAge="061Y",
        ShutterShape="CIRCULAR",
        CenterOfCircularShutter=[30, 20],
        RadiusOfCircularShutter=15,
    )
    return {
        "phantom": Path(phantom_index.table["path"][0]).read_bytes(),
        "tagged": tagged,
        "picture": path.read_bytes(),
    }


def assert_same(one, other):
    assert type(one) is type(other)
    if is_dataclass(one):
        for field in fields(one):
            if field.name != "sample":  # kept by the process that read the film
                assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif hasattr(one, "items"):
        assert dict(one) == dict(other)
    else:
        assert one == other


@pytest.mark.parametrize(
    ("film", "reading"), CASES, ids=lambda one: one if isinstance(one, str) else type(one).__name__
)
def test_the_answer_is_that_of_this_process(readers, films, reading, film, tmp_path):
    here = reading.read(films[film])
    assert_same(readers.read(reading, films[film]), here)
    path = tmp_path / b"a\xff\n b".decode(errors="surrogateescape")
    path.write_bytes(films[film])
    if film != "picture":  # whose key is its name
        assert_same(readers.read(reading, path), here)


def test_a_relative_path_is_of_the_folder_that_the_caller_is_in(tmp_path, monkeypatch):
    with FilmReaders(1) as readers:
        for folder in ("first", "second"):  # the readers' template begins in the folder before
            (tmp_path / folder).mkdir()
            monkeypatch.chdir(tmp_path / folder)
            Image.fromarray(np.zeros((80, 80), np.uint8)).save("blank.png")
            answer = readers.read(WholeFilm(), Path("blank.png"))
            assert getattr(answer, "reason", "") != "missing_file"
            Path("blank.png").unlink()


def test_an_empty_upload_is_refused(readers):
    assert readers.read(Display(), b"").reason == "empty_file"


def test_a_refusal_is_the_error_that_it_was(phantom_index):
    with pytest.raises(UnreadableImage) as unreadable:
        read_apart(WholeFilm(), b"no film")
    assert unreadable.value.reason == "not_an_image"
    lateral = synthetic_dicom(np.zeros((80, 80), np.uint16), ViewPosition="LL")
    with pytest.raises(UnsupportedImage) as unsupported:
        read_apart(NetworkInputs((InputSpec(32, "stretch"),)), lateral)
    assert unsupported.value.reason == "lateral"


@pytest.mark.parametrize("fault", REASONS)
def test_a_film_costs_itself_alone(phantom_index, tmp_path, fault, planted):  # noqa: F811
    film = Path(phantom_index.table["path"][0])
    plant(film, tmp_path / "planted.dcm", fault)
    with FilmReaders(1, LIMITS.get(fault, DEFAULT_LIMITS)) as readers:
        for _ in range(2):
            refusal = readers.read(Display(), (tmp_path / "planted.dcm").read_bytes())
            assert isinstance(refusal, RefusedFilm)
            assert refusal.reason == REASONS[fault]
            assert not isinstance(readers.read(WholeFilm(), film), RefusedFilm)


def test_an_allocation_of_more_than_the_machine_should_give_is_named_memory(
    phantom_index, tmp_path, monkeypatch
):
    """It fails in the decoder, which calls its pixels damaged."""
    from monai_cxr.reading import reader_template

    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib\n"
        "read_bytes = pathlib.Path.read_bytes\n"
        "def greedy(self):\n"
        "    try:\n"
        "        return read_bytes(self) if self.name != 'greedy.dcm' else bytearray(1 << 42)\n"
        "    except MemoryError as error:\n"
        "        from monai_cxr.errors import UnreadableImage\n"
        "        raise UnreadableImage('damaged') from None\n"
        "pathlib.Path.read_bytes = greedy\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "greedy.dcm").write_bytes(b"DICM")
    reader_template.close_template()
    try:
        with FilmReaders(1, ReaderLimits(memory_gib=0.5)) as readers:
            assert readers.read(WholeFilm(), tmp_path / "greedy.dcm").reason == "reader_memory"
    finally:
        reader_template.close_template()
