"""Readings: what a reader process may be asked for, and how the answer crosses to its parent.

A question travels as the name and the fields of its class, an answer as JSON and plain arrays.
Nothing is unpickled, so a decoder that was taken over cannot reach the parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from monai_cxr.dicom.display import DisplayFilm, Preset
from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.dicom.pixels.grayscale import POLICIES
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.preprocessing import ResizePolicy, prepare
from monai_cxr.radiograph import FilmFacts, InstanceKey, Radiograph, ViewPosition
from monai_cxr.reading.files import Source, read_bytes, read_display, read_radiograph
from monai_cxr.reading.film_input import InputSpec, PreparedFilm, prepared_film

Packed = tuple[Mapping[str, Any], Sequence[NDArray[Any]]]
"""What can be written as JSON, and arrays."""

Answer = TypeVar("Answer", covariant=True)


class Reading(Protocol[Answer]):
    """A question about one film; a frozen dataclass with fields that JSON can hold."""

    def read(self, source: Source) -> Answer:
        """Read the film, in the process that calls.

        Raises:
            InputError: If it cannot be read, or is not what was asked for.
        """

    def packed(self, answer: Any) -> Packed:
        """The answer as it crosses to the parent."""

    def unpacked(self, content: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> Answer:
        """The answer of a child."""


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

    def packed(self, answer: PreparedFilm) -> Packed:
        """Facts and inputs."""
        return _written_facts(answer.facts), answer.inputs

    def unpacked(self, content: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> PreparedFilm:
        """Facts and inputs.

        Raises:
            ValueError: If there is not one input a spec, of its shape.
        """
        if [one.shape for one in arrays] != [(1, spec.size, spec.size) for spec in self.specs]:
            raise ValueError("Expected one input a spec.")
        return PreparedFilm(tuple(arrays), _read_facts(content))


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

    def packed(self, answer: NDArray[np.uint8]) -> Packed:
        """The picture."""
        return {}, [answer]

    def unpacked(
        self, content: Mapping[str, Any], arrays: Sequence[NDArray[Any]]
    ) -> NDArray[np.uint8]:
        """The picture.

        Raises:
            ValueError: If it has another shape.
        """
        (picture,) = arrays
        if picture.shape != (self.size, self.size):
            raise ValueError("Expected a picture of the size of the cache.")
        return picture


@dataclass(frozen=True, slots=True)
class HeaderSummary:
    """What a worklist shows of a file before it is analysed.

    Attributes:
        facts: Of the header; of a file that is not DICOM, the key holds its name alone.
        acquired: StudyDate (0008,0020) as ``YYYYMMDD``, or ``""``.
    """

    facts: FilmFacts
    acquired: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a file; its pixels are not decoded."""

    def read(self, source: Source) -> HeaderSummary:
        """See :class:`HeaderSummary`."""
        data, name = read_bytes(source)
        if not is_dicom(data):
            return HeaderSummary(FilmFacts(InstanceKey("", "", "", name)))
        header = open_dicom(data).facts
        facts = FilmFacts(
            header.key,
            header.view,
            header.age_years,
            header.sex,
            header.manufacturer,
            source_format="dicom",
        )
        return HeaderSummary(facts, header.acquired)

    def packed(self, answer: HeaderSummary) -> Packed:
        """Facts and date."""
        return {**_written_facts(answer.facts), "acquired": answer.acquired}, []

    def unpacked(self, content: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> HeaderSummary:
        """Facts and date."""
        return HeaderSummary(_read_facts(content), str(content["acquired"]))


@dataclass(frozen=True, slots=True)
class Display:
    """A film at its full bit depth, for a viewer."""

    def read(self, source: Source) -> DisplayFilm:
        """See :func:`monai_cxr.reading.files.read_display`."""
        return read_display(source)

    def packed(self, answer: DisplayFilm) -> Packed:
        """All but the arrays as they are; the arrays of presets follow the values."""
        content = {
            one.name: getattr(answer, one.name)
            for one in fields(DisplayFilm)
            if one.name not in ("values", "presets", "view")
        }
        content["view"] = answer.view.value
        content["presets"] = [
            [preset.name, preset.center, preset.width, preset.function, preset.table is not None]
            for preset in answer.presets
        ]
        tables = [preset.table for preset in answer.presets if preset.table is not None]
        return content, [answer.values, *tables]

    def unpacked(self, content: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> DisplayFilm:
        """What :meth:`packed` gave."""
        values, *tables = arrays
        rest = iter(tables)
        presets = tuple(
            Preset(name, center, width, function, next(rest) if has_table else None)
            for name, center, width, function, has_table in content["presets"]
        )
        pairs = {
            name: None if content[name] is None else tuple(content[name])
            for name in ("padding", "pixel_spacing_mm", "orientation")
        }
        return DisplayFilm(
            **{**content, **pairs},
            values=values,
            presets=presets,
            view=ViewPosition(content["view"]),
        )


@dataclass(frozen=True, slots=True)
class WholeFilm:
    """A film with all of its pixels, whether or not a model may read it."""

    def read(self, source: Source) -> Radiograph:
        """See :func:`monai_cxr.reading.files.read_radiograph`."""
        return read_radiograph(source)

    def packed(self, answer: Radiograph) -> Packed:
        """Facts, geometry and pixels."""
        geometry = {"spacing": answer.pixel_spacing_mm, "step": answer.step}
        geometry["file_shape"] = answer.file_shape
        return {**_written_facts(answer.facts), **geometry}, [answer.pixels]

    def unpacked(self, content: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> Radiograph:
        """The film; its pixels are checked again."""
        facts, (pixels,) = _read_facts(content), arrays
        spacing, shape = content["spacing"], content["file_shape"]
        return Radiograph(
            pixels,
            facts.key,
            facts.view,
            None if spacing is None else tuple(spacing),
            facts.patient_sex,
            facts.patient_age_years,
            facts.manufacturer,
            facts.flags,
            facts.quality,
            facts.source_format,
            content["step"],
            None if shape is None else tuple(shape),
        )


_KINDS = (NetworkInputs, SmallPicture, Header, Display, WholeFilm)


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


def _written_facts(facts: FilmFacts) -> dict[str, Any]:
    return {"facts": {**asdict(facts), "view": facts.view.value}}


def _read_facts(content: Mapping[str, Any]) -> FilmFacts:
    facts = content["facts"]
    given = {
        "key": InstanceKey(**facts["key"]),
        "view": ViewPosition(facts["view"]),
        "flags": tuple(facts["flags"]),
    }
    return FilmFacts(**{**facts, **given})
