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


class PrepareRadiographd(MapTransform):
    """Film to network input: antialiased resize and the fixed normalisation.

    Expects what ``LoadImaged(reader="monai_cxr.data.reader.RadiographReader")`` gives: float32,
    (rows, columns) or (1, rows, columns), [0, 1], bright = dense. Gives a plain float32 tensor of
    shape (1, size, size).

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
            UnsupportedImage: If a film is not one gray picture.
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
            prepared = normalise(prepare(pixels, self.size, resize=self.resize))
            result[key] = torch.from_numpy(np.ascontiguousarray(prepared)[None])
        return result
