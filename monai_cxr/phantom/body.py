"""Body: the measures of one patient's thorax and how the patient stands before the detector."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from monai_cxr.phantom.patients import Visit


@dataclass(frozen=True, slots=True)
class Body:
    """A thorax in numbers; lengths in mm, x to the patient's left, y down from the lung apices.

    Attributes:
        sex: ``"M"`` or ``"F"``.
        half_width: Half the inner width of the rib cage at its widest.
        height: From the apices to the top of the right hemidiaphragm.
        dome: Height of the hemidiaphragms above their lateral ends.
        dome_drop: How much lower the left hemidiaphragm stands than the right.
        cardiothoracic_ratio: Heart width over inner thoracic width.
        knob: Radius of the aortic knob.
        wall: Thickness of muscle and fat outside the ribs.
        thickness_cm: Antero-posterior thickness of the body.
        lung_air: Share of air in the lungs' volume.
        rib_spacing: Distance between neighbouring ribs.
        rib_slope: How far a rib descends from back to front.
        breast: Thickness of the breasts in cm, 0 in men.
        tracheal_shift: Shift of the trachea and upper mediastinum, positive to the left.
        raised: Elevation of the (right, left) hemidiaphragm.
        stomach_bubble: Whether gas shows under the left hemidiaphragm.
    """

    sex: str
    half_width: float
    height: float
    dome: float
    dome_drop: float
    cardiothoracic_ratio: float
    knob: float
    wall: float
    thickness_cm: float
    lung_air: float
    rib_spacing: float
    rib_slope: float
    breast: float
    stomach_bubble: bool
    tracheal_shift: float = 0.0
    raised: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Pose:
    """Position of the thorax on the film.

    Attributes:
        rows: Rows of the film.
        columns: Columns of the film.
        spacing_mm: Distance between pixels in the plane of the thorax.
        centre: (row, column) on which the middle of the chest falls, in pixels.
        angle: Rotation in the plane of the film, in radians.
        turn: Rotation of the patient about the long axis, from -1 to 1: shifts the midline.
    """

    rows: int
    columns: int
    spacing_mm: float
    centre: tuple[float, float]
    angle: float
    turn: float


def draw_body(visit: Visit, rng: np.random.Generator, breath: float) -> Body:
    """Draw a patient's thorax.

    Args:
        visit: Sex, age and view of the examination.
        rng: The patient's own stream, so that follow-ups show the same body.
        breath: Depth of inspiration on this film, around 1.

    Returns:
        A healthy body.
    """
    male = visit.sex == "M"
    fat = float(rng.gamma(4.0, 0.25))
    # The heart lies farther from the detector in an AP view and is magnified.
    magnification = 1.06 if visit.view_position == "AP" else 1.0
    ratio = float(np.clip(rng.normal(0.425, 0.03), 0.35, 0.475)) * magnification
    body = Body(
        sex=visit.sex,
        half_width=float(rng.normal(138.0 if male else 124.0, 6.0)),
        height=float(rng.normal(238.0 if male else 216.0, 10.0)),
        dome=float(rng.uniform(34.0, 50.0)),
        dome_drop=float(rng.uniform(4.0, 18.0)),
        cardiothoracic_ratio=ratio / breath**0.5,
        knob=float(np.clip(13.0 + 0.08 * (visit.age_years - 40) + rng.normal(0, 1.5), 11.0, 20.0)),
        wall=14.0 + 14.0 * fat,
        thickness_cm=float(rng.normal(20.0 if male else 18.0, 1.0)) + 2.5 * fat,
        lung_air=float(rng.uniform(0.72, 0.78)),
        rib_spacing=float(rng.uniform(21.5, 25.5)),
        rib_slope=float(rng.uniform(56.0, 84.0)),
        breast=0.0 if male else float(rng.uniform(1.5, 6.0)),
        stomach_bubble=bool(rng.random() < 0.6),
    )
    return _inhale(body, breath)


def draw_pose(size: int, body: Body, rng: np.random.Generator) -> Pose:
    """Draw the format of the film and the patient's place on it.

    Args:
        size: Longer side in pixels.
        body: The patient; the film is wide enough for the chest.
        rng: The film's stream.

    Returns:
        The pose; rows and columns are even.
    """
    shape = rng.choice(3, p=[0.6, 0.3, 0.1])
    short = 2 * round(size * rng.uniform(0.82, 0.92) / 2)
    size = 2 * (size // 2)
    rows, columns = ((size, size), (size, short), (short, size))[int(shape)]
    spacing = float(rng.uniform(335.0, 405.0)) / size
    spacing = max(spacing, (2.0 * body.half_width + float(rng.uniform(30.0, 70.0))) / columns)
    return Pose(
        rows=rows,
        columns=columns,
        spacing_mm=spacing,
        centre=(
            rows / 2 + float(rng.normal(0.0, 12.0)) / spacing,
            columns / 2 + float(rng.normal(0.0, 11.0)) / spacing,
        ),
        angle=float(np.radians(np.clip(rng.normal(0.0, 2.2), -6.0, 6.0))),
        turn=float(np.clip(rng.normal(0.0, 0.35), -1.0, 1.0)),
    )


def _inhale(body: Body, breath: float) -> Body:
    return replace(body, height=body.height * breath)
