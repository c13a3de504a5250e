"""Readings: what a reader process may be asked for; a question travels by its name and fields."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from monai_cxr.dicom.display import DisplayFilm
from monai_cxr.dicom.pixels import decoding
from monai_cxr.dicom.pixels.grayscale import POLICIES
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.preprocessing import ResizePolicy, prepare
from monai_cxr.radiograph import Radiograph
from monai_cxr.reading.files import Source, read_bytes, read_display, read_radiograph
from monai_cxr.reading.film_input import InputSpec, PreparedFilm, prepared_film

Answer = TypeVar("Answer", covariant=True)


class Reading(Protocol[Answer]):
    """A question about one film; a frozen dataclass with fields that JSON can hold."""

    def read(self, source: Source) -> Answer:
        """Read the film, in the process that calls.

        Raises:
            InputError: If it cannot be read, or is not what was asked for.
        """

    def is_answer(self, value: Any) -> bool:
        """Whether a value that came from a child can be the answer."""


@dataclass(frozen=True, slots=True)
class NetworkInputs:
    """A film as networks take it.

    Attributes:
        specs: What they take.
    """

    specs: tuple[InputSpec, ...]

    def read(self, source: Source) -> PreparedFilm:
        """See :func:`monai_cxr.reading.film_input.prepared_film`."""
        return prepared_film(source, self.specs)

    def is_answer(self, value: Any) -> bool:
        """One input per spec, of its shape."""
        wanted = [(1, spec.size, spec.size) for spec in self.specs]
        return isinstance(value, PreparedFilm) and [one.shape for one in value.inputs] == wanted


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """A film at the size of a cache.

    Attributes:
        size: Side in pixels.
        resize: Resize policy.
        policy: Name of the grayscale policy.
    """

    size: int
    resize: ResizePolicy
    policy: str

    def read(self, source: Source) -> NDArray[np.uint8]:
        """uint8, shape (size, size)."""
        film = read_radiograph(source, policy=POLICIES[self.policy])
        pixels = prepare(film, self.size, resize=self.resize)
        return np.rint(pixels * 255).astype(np.uint8)

    def is_answer(self, value: Any) -> bool:
        """A picture of that size."""
        return isinstance(value, np.ndarray) and value.shape == (self.size, self.size)


@dataclass(frozen=True, slots=True)
class Display:
    """A film at its full bit depth, for a viewer."""

    def read(self, source: Source) -> DisplayFilm:
        """See :func:`monai_cxr.reading.files.read_display`."""
        return read_display(source)

    def is_answer(self, value: Any) -> bool:
        """A film for display."""
        return isinstance(value, DisplayFilm)


@dataclass(frozen=True, slots=True)
class WholeFilm:
    """A film with all of its pixels, whether or not a model may read it."""

    def read(self, source: Source) -> Radiograph:
        """See :func:`monai_cxr.reading.files.read_radiograph`."""
        return read_radiograph(source)

    def is_answer(self, value: Any) -> bool:
        """A film; it has checked its pixels."""
        return isinstance(value, Radiograph)


@dataclass(frozen=True, slots=True)
class PixelDigest:
    """A digest that two files share if their pixel cells are the same, in any transfer syntax."""

    def read(self, source: Source) -> str:
        """SHA-256 over shape and cells of the first frame of a DICOM file, hexadecimal."""
        dicom = open_dicom(read_bytes(source)[0])
        cells = decoding.decode(dicom.parsed, dicom.facts).cells
        whole = hashlib.sha256(str(cells.shape).encode())
        whole.update(np.ascontiguousarray(cells, dtype="<u2").data)
        return whole.hexdigest()

    def is_answer(self, value: Any) -> bool:
        """A text."""
        return isinstance(value, str)


_KINDS = (NetworkInputs, SmallPicture, Display, WholeFilm, PixelDigest)


def written_reading(reading: Reading[Any]) -> dict[str, Any]:
    """A question as JSON can hold it."""
    return {"reading": type(reading).__name__, "fields": asdict(reading)}  # type: ignore[call-overload]


def read_reading(content: Mapping[str, Any]) -> Reading[Any]:
    """The question that :func:`written_reading` wrote."""
    kind = {one.__name__: one for one in _KINDS}[content["reading"]]
    values = dict(content["fields"])
    if kind is NetworkInputs:
        values["specs"] = tuple(InputSpec(**spec) for spec in values["specs"])
    return kind(**values)
