"""Transforms: MONAI's dictionary form of the one preprocessing, for every config."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_cxr.errors import UnsupportedImage
from monai_cxr.preprocessing import ResizePolicy, normalise, prepare

_ROUNDING = 1e-3
"""How far beyond [0, 1] a film's values may lie: resampling and float16 round."""


def meta_key(key: Hashable) -> str:
    """Where a film's metadata stand in an item: MONAI's ``<key>_meta_dict``."""
    return f"{key}_meta_dict"


class PrepareRadiographd(MapTransform):
    """Film to network input: antialiased resize and the fixed normalisation.

    Expects what ``LoadImaged(reader="monai_cxr.data.reader.RadiographReader")`` gives: float32,
    (rows, columns) or (1, rows, columns), [0, 1], bright = dense. Gives a plain float32 tensor of
    shape (1, size, size). The name of the film goes along: ``filename_or_obj`` in the item's
    ``<key>_meta_dict``.

    Args:
        keys: Keys of the films.
        size: Side of the network input in pixels.
        resize: ``"stretch"`` (as NIH's own PNGs were made), ``"pad"`` or ``"center_crop"``.
        allow_missing_keys: Do not raise where a key is absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int,
        resize: ResizePolicy = "stretch",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = size
        self.resize = resize

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each film by its network input.

        Raises:
            UnsupportedImage: If a film is not one gray picture, or its values are not in [0, 1].
        """
        result = dict(data)
        for key in self.key_iterator(result):
            pixels = np.asarray(result[key], dtype=np.float32)
            if pixels.ndim == 3 and len(pixels) == 1:
                pixels = pixels[0]
            if pixels.ndim != 2:
                raise UnsupportedImage(
                    "Expected a film of shape (rows, columns) or (1, rows, columns), but got "
                    f"{pixels.shape}. Give one film at a time.",
                    reason="bad_shape",
                )
            _check_range(pixels)
            name = getattr(result[key], "meta", {}).get("filename_or_obj")
            if name is not None:
                result[meta_key(key)] = {"filename_or_obj": str(name), "reason": ""}
            prepared = normalise(prepare(pixels, self.size, resize=self.resize))
            result[key] = torch.from_numpy(np.ascontiguousarray(prepared)[None])
        return result


def _check_range(pixels: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (np.nan, np.nan)
    if not (low >= -_ROUNDING and high <= 1.0 + _ROUNDING):  # NaN is not in the range either
        raise UnsupportedImage(
            f"Expected a film in [0, 1], but its values go from {low:g} to {high:g}. Read it with "
            "monai_cxr.data.reader.RadiographReader.",
            reason="bad_range",
        )
