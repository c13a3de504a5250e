"""Physics: from attenuation along the beam to a processed radiograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cxr.phantom.body import Pose
from monai_cxr.phantom.grid import Field, blur, resize, soft_noise

_WATER_PER_CM = 0.19
"""Linear attenuation of water near 70 keV, the mean energy of a 120 kVp chest film."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How a film was taken and processed; nothing here knows the findings.

    Attributes:
        photons: Quanta in the unattenuated beam per pixel of a 512-pixel film.
        scatter: Scatter over primary behind the mean patient.
        equalisation: Strength of the dynamic range compression, in [0, 1].
        sharpening: Strength of the edge enhancement.
        window_low: Quantile of the body's values that is shown black.
        window_high: Quantile that is shown white.
        gamma: Exponent of the display curve.
        collimation: Depths in mm of the (top, bottom, left, right) shutters from the film's edge.
        shutter_white: Whether the region outside the shutters is left white.
        marker: ``"L"`` or ``"R"``.
        marker_place: (row, column) of the marker as fractions of the film.
    """

    photons: float
    scatter: float
    equalisation: float
    sharpening: float
    window_low: float
    window_high: float
    gamma: float
    collimation: tuple[float, float, float, float]
    shutter_white: bool
    marker: str
    marker_place: tuple[float, float]


def draw_acquisition(rng: np.random.Generator) -> Acquisition:
    """Draw exposure, processing, shutters and marker of one film."""
    shutters = np.where(rng.random(4) < 0.35, rng.uniform(3.0, 22.0, 4), 0.0)
    marker = "L" if rng.random() < 0.7 else "R"
    row, column = rng.uniform(0.07, 0.16), rng.uniform(0.06, 0.13)
    return Acquisition(
        photons=float(np.exp(rng.uniform(np.log(1.2e4), np.log(8e4)))),
        scatter=float(rng.uniform(0.25, 1.1)),
        equalisation=float(rng.uniform(0.0, 0.55)),
        sharpening=float(rng.uniform(0.2, 1.1)),
        window_low=float(rng.uniform(0.001, 0.05)),
        window_high=float(rng.uniform(0.94, 0.999)),
        gamma=float(np.exp(rng.normal(0.0, 0.22))),
        collimation=(float(shutters[0]), float(shutters[1]),
                     float(shutters[2]), float(shutters[3])),
        shutter_white=bool(rng.random() < 0.3),
        marker=marker,
        marker_place=(float(row), float(1.0 - column if marker == "L" else column)),
    )  # fmt: skip


def expose(
    water_cm: Field, pose: Pose, acquisition: Acquisition, rng: np.random.Generator
) -> Field:
    """Take the picture: primary beam, scatter, quanta, logarithm.

    Args:
        water_cm: Attenuation as cm of water, at half the film's resolution.
        pose: Shape of the film and its pixel spacing.
        acquisition: Exposure and scatter.
        rng: Source of the quantum noise.

    Returns:
        float32, shape (rows, columns): the negative logarithm of the detector signal.
    """
    primary = np.exp(-_WATER_PER_CM * water_cm)
    scattered = blur(primary, 45.0 / (2.0 * pose.spacing_mm)) * np.float32(acquisition.scatter)
    coarse = primary + scattered
    shape = (pose.rows, pose.columns)
    signal = np.maximum(resize(coarse, shape), 1e-4)
    # Counts scale with the pixel's area; for many quanta Poisson's noise is Gaussian.
    counts = acquisition.photons * (512.0 / max(shape)) ** 2 * (pose.spacing_mm / 0.75) ** 2
    noise = rng.standard_normal(shape, dtype=np.float32)
    noisy = -np.log(signal) + noise / np.sqrt(np.float32(counts) * signal)
    return np.asarray(noisy, dtype=np.float32)


def process(signal: Field, body: Field, pose: Pose, acquisition: Acquisition) -> Field:
    """Process a film for presentation: equalise, sharpen, window, display curve.

    Args:
        signal: From ``expose``.
        body: cm of body along the beam at half resolution; tells the patient from the air.
        pose: Shape of the film.
        acquisition: The processing's strengths.

    Returns:
        float32, shape (rows, columns); [0, 1] is shown, values beyond are clipped by the window.
    """
    coarse = signal[::2, ::2]
    wide = resize(blur(coarse, 30.0 / (2.0 * pose.spacing_mm)), signal.shape)
    fine = resize(blur(coarse, 3.5 / (2.0 * pose.spacing_mm)), signal.shape)
    strength = np.float32(acquisition.equalisation)
    level = np.float32(coarse.mean())
    enhanced = signal - strength * (wide - level)
    enhanced = enhanced + np.float32(acquisition.sharpening) * (signal - fine)
    inside = enhanced[::8, ::8][body[::4, ::4][: enhanced[::8, ::8].shape[0]] > 6.0]
    if inside.size < 16:
        inside = enhanced[::8, ::8].ravel()
    low, high = np.quantile(inside, [acquisition.window_low, acquisition.window_high])
    shown = (enhanced - np.float32(low)) / np.float32(max(high - low, 0.2))
    return _curve(np.asarray(shown, dtype=np.float32), acquisition.gamma)


def _curve(shown: Field, gamma: float) -> Field:
    """Bend the range [0, 1] by ``gamma``; go on straight outside it."""
    toe = 1.0 - (1.0 - np.clip(shown, 0.0, 1.0)) ** np.float32(1.35)
    bent = toe ** np.float32(gamma)
    beyond = shown - np.clip(shown, 0.0, 1.0)
    return np.asarray(bent + 0.5 * beyond, dtype=np.float32)


def shutters(pose: Pose, acquisition: Acquisition, rng: np.random.Generator) -> Field:
    """How open the collimator is at every pixel: 1 in the field, 0 outside, soft at its edge."""
    top, bottom, left, right = (depth / pose.spacing_mm for depth in acquisition.collimation)
    tilt = np.float32(rng.normal(0.0, 0.008))
    rows = np.arange(pose.rows, dtype=np.float32)[:, None]
    columns = np.arange(pose.columns, dtype=np.float32)[None]
    r = rows + tilt * (columns - pose.columns / 2)
    c = columns - tilt * (rows - pose.rows / 2)
    edge = np.float32(1.5 / pose.spacing_mm)
    field = np.ones((pose.rows, pose.columns), dtype=np.float32)
    for depth, distance in (
        (top, r), (bottom, pose.rows - 1 - r), (left, c), (right, pose.columns - 1 - c),
    ):  # fmt: skip
        if depth > 0:
            field *= np.clip((distance - np.float32(depth)) / edge + 0.5, 0.0, 1.0)
    return field


def grain(pose: Pose, rng: np.random.Generator) -> Field:
    """Unevenness of the detector's response over centimetres, about 1 % of the range."""
    return soft_noise(rng, (pose.rows, pose.columns), 40.0 / pose.spacing_mm) * np.float32(0.01)
