"""Film: render one radiograph of one phantom patient, with its truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_cxr.phantom.anatomy import Thorax, build_thorax, stomach_cm
from monai_cxr.phantom.body import Body, draw_body, draw_pose
from monai_cxr.phantom.grid import Field, blur
from monai_cxr.phantom.marker import stamp_marker
from monai_cxr.phantom.pathology.by_finding import ALTERATIONS, DRAWINGS
from monai_cxr.phantom.pathology.lesion import Lesion
from monai_cxr.phantom.patients import (
    Visit,
    examine,
    stream_of_body,
    stream_of_film,
    stream_of_site,
)
from monai_cxr.phantom.physics import (
    Acquisition,
    draw_acquisition,
    expose,
    grain,
    process,
    shutters,
)
from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.phantom.skeleton import airway_cm, draw_skeleton
from monai_cxr.phantom.vessels import Branches, draw_tree, grow_tree

Box = tuple[float, float, float, float]
"""(x, y, width, height) in pixels: column and row of the upper left corner first."""


@dataclass(frozen=True, slots=True, eq=False)
class PhantomFilm:
    """One rendered radiograph and everything that is true about it.

    Attributes:
        pixels: float32, shape (rows, columns), range [0, 1]; bright = dense.
        processed: float32, shape (rows, columns): before the display window clips it to [0, 1].
        present: Severity in (0, 1] of each finding on the film.
        masks: bool, shape (rows, columns), of each finding on the film.
        boxes: Bounds of each mask.
        labels: float32, shape (14,), 0 or 1: NIH's order, label noise included.
        truth: float32, shape (14,), 0 or 1: what is drawn.
        visit: Patient, follow-up, sex, age and view.
        pixel_spacing_mm: Distance between pixels, rows then columns.
    """

    pixels: Field
    processed: Field
    present: Mapping[str, float]
    masks: Mapping[str, NDArray[np.bool_]]
    boxes: Mapping[str, Box]
    labels: NDArray[np.float32]
    truth: NDArray[np.float32]
    visit: Visit
    pixel_spacing_mm: tuple[float, float]

    @property
    def patient_id(self) -> str:
        """The patient's identifier, for example ``"PHANTOM-000123"``."""
        return self.visit.patient_id

    @property
    def view_position(self) -> str:
        """``"PA"`` or ``"AP"``."""
        return self.visit.view_position

    @property
    def sex(self) -> str:
        """``"M"`` or ``"F"``."""
        return self.visit.sex

    @property
    def age_years(self) -> int:
        """Age on the day of the film."""
        return self.visit.age_years

    @property
    def follow_up(self) -> int:
        """Index of the film among the patient's films."""
        return self.visit.follow_up

    def __repr__(self) -> str:
        """Show the shape and what is on the film."""
        rows, columns = self.pixels.shape
        return f"PhantomFilm({rows}x{columns}, present={dict(self.present)})"


def render_film(settings: PhantomSettings, *, patient: int, follow_up: int = 0) -> PhantomFilm:
    """Render a film; the same arguments give the same pixels.

    Args:
        settings: Seed, size, prevalences.
        patient: Index of the patient, from 0.
        follow_up: Index of the patient's film, from 0.

    Returns:
        The film with its truth.

    Raises:
        SettingsError: If an index is negative.

    Example:
        >>> film = render_film(PhantomSettings(size=128, seed=3), patient=0)
        >>> film.pixels.dtype.name, max(film.pixels.shape)
        ('float32', 128)
    """
    visit = examine(settings, patient=patient, follow_up=follow_up)
    rng = stream_of_film(settings, patient, follow_up)
    rng.random()  # the view position, drawn by examine
    breath = float(
        np.clip(rng.normal(1.0 if visit.view_position == "PA" else 0.95, 0.05), 0.8, 1.1)
    )
    body_rng = stream_of_body(settings, patient)
    body = _altered(draw_body(visit, body_rng, breath), settings, visit)
    pose = draw_pose(settings.size, body, rng)
    acquisition = draw_acquisition(rng)
    thorax = build_thorax(body, pose)
    trees = (grow_tree(body, -1, body_rng), grow_tree(body, 1, body_rng))
    lesions = _lesions(thorax, settings, visit)
    water = _attenuation(thorax, trees, tuple(lesions.values()))
    processed = _develop(thorax, water, acquisition, rng)
    masks = {name: _enlarged(lesion.mask) for name, lesion in lesions.items()}
    return PhantomFilm(
        pixels=np.clip(processed, 0.0, 1.0),
        processed=processed,
        present=dict(visit.severities),
        masks=masks,
        boxes={name: bounds(mask) for name, mask in masks.items()},
        labels=visit.labels,
        truth=visit.truth,
        visit=visit,
        pixel_spacing_mm=(pose.spacing_mm, pose.spacing_mm),
    )


def bounds(mask: NDArray[np.bool_]) -> Box:
    """Smallest box around a mask.

    Args:
        mask: bool, shape (rows, columns), not empty.

    Returns:
        (x, y, width, height) in pixels.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return (
        float(columns[0]),
        float(rows[0]),
        float(columns[-1] - columns[0] + 1),
        float(rows[-1] - rows[0] + 1),
    )


def _altered(body: Body, settings: PhantomSettings, visit: Visit) -> Body:
    for name, alter in ALTERATIONS.items():
        if name in visit.severities:
            site = stream_of_site(settings, visit.patient, name)
            body = alter(body, visit.severities[name], site)
    return body


def _lesions(thorax: Thorax, settings: PhantomSettings, visit: Visit) -> dict[str, Lesion]:
    return {
        name: DRAWINGS[name](thorax, severity, stream_of_site(settings, visit.patient, name))
        for name, severity in visit.severities.items()
    }


def _attenuation(thorax: Thorax, trees: tuple[Branches, ...], lesions: tuple[Lesion, ...]) -> Field:
    """Centimetres of water along the beam, findings included."""
    airy = np.maximum(thorax.right.depth_cm + thorax.left.depth_cm - thorax.heart_cm, 0.0)
    seen = np.clip(airy / 3.0, 0.0, 1.0)
    vessels = draw_tree(thorax, trees) * seen
    bronchi = np.zeros_like(airy)
    added = np.zeros_like(airy)
    if any(lesion.bronchogram is not None for lesion in lesions):
        air_tree = draw_tree(thorax, trees, largest=4, widen=0.8)
    for lesion in lesions:
        if lesion.filling is not None:
            airy = airy * (1.0 - lesion.filling)
            vessels = vessels * (1.0 - lesion.filling)
        if lesion.vessels is not None:
            vessels = vessels * lesion.vessels
        if lesion.added_cm is not None:
            added = added + lesion.added_cm
        if lesion.bronchogram is not None:
            bronchi = np.maximum(bronchi, lesion.bronchogram * air_tree * seen)
    water = thorax.body_cm - np.float32(thorax.body.lung_air) * airy + 0.9 * vessels
    water = (
        water
        + draw_skeleton(thorax)
        + added
        - 2.2 * bronchi
        - airway_cm(thorax)
        - stomach_cm(thorax)
    )
    return np.asarray(np.maximum(water, 0.0), dtype=np.float32)


def _develop(
    thorax: Thorax, water: Field, acquisition: Acquisition, rng: np.random.Generator
) -> Field:
    pose = thorax.pose
    signal = expose(blur(water, 0.5), pose, acquisition, rng)
    processed = process(signal, thorax.body_cm, pose, acquisition) + grain(pose, rng)
    opened = shutters(pose, acquisition, rng)
    outside = np.float32(1.0 if acquisition.shutter_white else 0.0)
    processed = processed * opened + outside * (1.0 - opened)
    return stamp_marker(processed, pose, acquisition)


def _enlarged(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1)
