"""Reader: MONAI's plug, so that LoadImaged gives the same pixels as read_radiograph."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config.type_definitions import PathLike
from monai.data.image_reader import ImageReader
from numpy.typing import NDArray

from monai_cxr.dicom.pixels.grayscale import POLICIES
from monai_cxr.errors import InputError, SettingsError
from monai_cxr.radiograph import Radiograph
from monai_cxr.reading.files import read_for_model, read_radiograph

Refusal = InputError | OSError | MemoryError
"""Why a film is not read; MONAI carries it from reading to ``get_data``, which raises."""


class RadiographReader(ImageReader):
    """Read films for :class:`monai.transforms.LoadImage` and ``LoadImaged``.

    ``LoadImaged(keys="image", reader=RadiographReader)``, or ``reader`` as the dotted name
    ``"monai_cxr.data.reader.RadiographReader"``. The array is float32 (rows, columns) in [0, 1],
    not transposed; the metadata hold no identity. A refusal is final: ``LoadImage`` would ask
    MONAI's own readers after an error of :meth:`read`, so that :meth:`get_data` raises it.

    Args:
        policy: Name of a grayscale policy: auto, header, percentile or none.
        check_scope: Refuse what is no frontal chest radiograph.
    """

    def __init__(self, policy: str = "auto", *, check_scope: bool = False, **_: Any) -> None:
        """Choose the policy."""
        super().__init__()
        if policy not in POLICIES:
            raise SettingsError(
                f"Expected policy as one of {', '.join(POLICIES)}, but got '{policy}'."
            )
        self.policy_name = policy
        self.policy = POLICIES[policy]
        self.check_scope = check_scope

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Take any file: content decides, not the name."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **_: Any) -> Sequence[Radiograph] | Refusal:
        """Read one or several films; the first refusal counts for all of them."""
        paths = [data] if isinstance(data, str | os.PathLike) else list(data)
        read = read_for_model if self.check_scope else read_radiograph
        try:
            return [read(Path(path), policy=self.policy) for path in paths]
        except (InputError, OSError, MemoryError) as error:
            return error

    def get_data(
        self, img: Sequence[Radiograph] | Radiograph | Refusal
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Pixels and an allow-list of metadata.

        Returns:
            float32 of shape (rows, columns), or (n, rows, columns) for several films; and metadata
            that name no patient, study or file.

        Raises:
            UnreadableImage: If a film is no readable image.
            UnsupportedImage: If it is one that is not supported.
        """
        if isinstance(img, Refusal):
            raise img
        films = [img] if isinstance(img, Radiograph) else list(img)
        if len(films) == 1:
            return np.array(films[0].pixels), _metadata(films[0])
        stack = np.stack([film.pixels for film in films])
        metadata = _metadata(films[0])
        metadata["original_channel_dim"] = 0
        metadata["spatial_shape"] = np.asarray(films[0].shape)
        return stack, metadata


def _metadata(film: Radiograph) -> dict[str, Any]:
    row_mm, column_mm = film.pixel_spacing_mm or (1.0, 1.0)
    affine = np.diag([row_mm, column_mm, 1.0, 1.0])
    return {
        "affine": affine,
        "original_affine": affine.copy(),
        "spatial_shape": np.asarray(film.shape),
        "original_channel_dim": "no_channel",
        "view": film.view.value,
        "flags": ",".join(film.flags),
        "source_format": film.source_format,
    }
