"""Inference films: a folder's films as MONAI data; one that cannot be read affects no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data.dataset import Dataset
from monai.transforms import Compose

from monai_cxr.data.folder import film_paths
from monai_cxr.data.transforms import PrepareRadiographd, meta_key
from monai_cxr.errors import InputError, InvalidTable, SettingsError


def film_list(directory: Path | str) -> list[str]:
    """Paths of the films below a folder, sorted.

    Raises:
        InvalidTable: If there is no such folder, or it holds no film.
    """
    return [str(path) for path in film_paths(Path(directory))]


class InferenceFilms(Dataset):
    """MONAI's ``Dataset`` of films; a film that is refused becomes an item without pixels.

    Such an item has NaN for its picture, and the stable reason code in its metadata, so that the
    run goes on and its table says why that film has no numbers.

    Args:
        data: Dictionaries with the path of a film below each key that the transform prepares.
        transform: Transform that contains a :class:`~monai_cxr.data.transforms.PrepareRadiographd`.

    Raises:
        InvalidTable: If there is no film.
        SettingsError: If the transform does not prepare films.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Sequence[Callable[..., Any]] | Callable[..., Any],
    ) -> None:
        super().__init__(data, transform)
        if len(data) == 0:
            raise InvalidTable("There is no film to predict.", reason="no_images")
        steps = Compose(self.transform).flatten().transforms
        found = [step for step in steps if isinstance(step, PrepareRadiographd)]
        if not found:
            raise SettingsError("Expected PrepareRadiographd among the preprocessing, found none.")
        self._prepare = found[0]

    def _transform(self, index: int) -> Any:
        try:
            return super()._transform(index)
        except (InputError, RuntimeError) as error:  # MONAI wraps what a transform raises
            refusal = _refusal(error)
            if refusal is None:
                raise
        item = dict(self.data[index])
        for key in self._prepare.key_iterator(item):
            item[meta_key(key)] = {"filename_or_obj": str(item[key]), "reason": refusal.reason}
            item[key] = torch.full((1, self._prepare.size, self._prepare.size), torch.nan)
        return item


def _refusal(error: BaseException | None) -> InputError | None:
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error
