"""Film input: a file to what the networks take and what the table keeps, or why it is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import InputError, UnreadableImage, UnsupportedImage
from monai_cxr.preprocessing import ResizePolicy, normalise, prepare
from monai_cxr.radiograph import FilmFacts, Radiograph
from monai_cxr.reading.files import Source, read_for_model, read_radiograph

SCOPES = ("frontal_chest", "any")
"""What a bundle says it may read: frontal chest radiographs alone, or any gray picture."""

DECODINGS = ("exact", "reduced")
"""How files are decoded. ``reduced``: JPEG 2000 at 1/2, 1/4 or 1/8 of its resolution where the
shorter side keeps at least twice the pixels of the network's input."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a network takes.

    Attributes:
        size: Side in pixels.
        resize: Resize policy.
        scope: One of :data:`SCOPES`.
        decoding: One of :data:`DECODINGS`.
    """

    size: int
    resize: ResizePolicy
    scope: str = "frontal_chest"
    decoding: str = "exact"

    @property
    def min_side(self) -> int | None:
        """What the shorter side of a film must keep; None for all of it."""
        if self.decoding != "reduced":
            return None
        shown = 0.875 if self.resize == "center_crop_0.875" else 1.0
        return math.ceil(2 * self.size / shown)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFilm:
    """A film as its networks take it; its full pixels are gone.

    Attributes:
        inputs: float32, each of shape (1, size, size), one per spec.
        facts: What is kept of the film.
    """

    inputs: tuple[NDArray[np.float32], ...]
    facts: FilmFacts


@dataclass(frozen=True, slots=True)
class RefusedFilm:
    """A file that is not read.

    Attributes:
        reason: A stable code.
        message: One sentence.
        is_unsupported: Whether it can be read, but is not what was asked for.
    """

    reason: str
    message: str
    is_unsupported: bool = False

    @classmethod
    def of(cls, error: InputError) -> RefusedFilm:
        """The refusal that an error states."""
        return cls(error.reason, str(error), isinstance(error, UnsupportedImage))

    def error(self) -> InputError:
        """The refusal as an error, for those who raise it."""
        kind = UnsupportedImage if self.is_unsupported else UnreadableImage
        return kind(self.message, reason=self.reason)


def network_input(film: Radiograph | NDArray[np.float32], spec: InputSpec) -> NDArray[np.float32]:
    """One film as network input, float32, shape (1, size, size)."""
    return normalise(prepare(film, spec.size, resize=spec.resize))[None]


def read_in_scope(source: Source, scope: str, *, min_side: int | None = None) -> Radiograph:
    """Read a film that a model of this scope may read.

    Args:
        source: Path of a file, its bytes, or a binary stream.
        scope: One of :data:`SCOPES`.
        min_side: See :func:`monai_cxr.reading.files.read_radiograph`.

    Raises:
        UnreadableImage: If it is no readable image.
        UnsupportedImage: If it is out of scope, with a reason code.
    """
    read = read_for_model if scope == "frontal_chest" else read_radiograph
    return read(source, min_side=min_side)


def prepared_film(source: Source, specs: Sequence[InputSpec]) -> PreparedFilm:
    """Read, decode, window and resize one film; the most demanding of several specs decides.

    Raises:
        InputError: See :func:`read_in_scope`.
    """
    scope = min((spec.scope for spec in specs), key=SCOPES.index)
    enough = [spec.min_side for spec in specs if spec.min_side is not None]
    min_side = max(enough) if len(enough) == len(specs) else None
    film = read_in_scope(source, scope, min_side=min_side)
    return PreparedFilm(tuple(network_input(film, spec) for spec in specs), film.facts)


def read_film_input(source: Source, specs: Sequence[InputSpec]) -> PreparedFilm | RefusedFilm:
    """Read one film in this process; see :func:`prepared_film`."""
    try:
        return prepared_film(source, specs)
    except InputError as error:
        return RefusedFilm.of(error)
