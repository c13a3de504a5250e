"""Peer pipelines: three ways to go from files to logits without this package; see peers.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monai_cxr.bundle.engines.runtime import available_cores

SIZE, BATCH = 224, 8
Pipeline = Callable[[list[Path]], np.ndarray]


def torchxrayvision_loop(network: torch.nn.Module) -> Pipeline:
    import torchvision
    import torchxrayvision as xrv

    transform = torchvision.transforms.Compose(
        [xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(SIZE)]
    )

    def run(paths: list[Path]) -> np.ndarray:
        rows = []
        for path in paths:
            film = torch.from_numpy(transform(xrv.utils.load_image(str(path))))
            with torch.no_grad():
                rows.append(network(film[None].float() / 512).numpy())
        return np.concatenate(rows)

    return run


def first_channel(image: torch.Tensor) -> torch.Tensor:
    return image[:1]


def monai_bundle(network: torch.nn.Module) -> Pipeline:
    from monai.data import DataLoader, Dataset
    from monai.engines import SupervisedEvaluator
    from monai.inferers import SimpleInferer
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        Lambdad,
        LoadImaged,
        Resized,
        ScaleIntensityd,
    )

    transform = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Lambdad("image", first_channel),
            ScaleIntensityd("image"),
            Resized("image", (SIZE, SIZE)),
        ]
    )

    def run(paths: list[Path]) -> np.ndarray:
        data = Dataset([{"image": str(path)} for path in paths], transform)
        rows: list[np.ndarray] = []
        evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(data, batch_size=BATCH, num_workers=available_cores()),
            network=network,
            inferer=SimpleInferer(),
            postprocessing=lambda item: rows.append(np.asarray(item["pred"])) or item,
        )
        evaluator.run()
        return np.stack(rows)

    return run


class PlainDataset(torch.utils.data.Dataset):
    """As tutorials write it."""

    def __init__(self, paths: list[Path]) -> None:
        import torchvision

        self.paths = paths
        self.transform = torchvision.transforms.Compose(
            [torchvision.transforms.Resize((SIZE, SIZE)), torchvision.transforms.ToTensor()]
        )

    def __len__(self) -> int:  # noqa: D105
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:  # noqa: D105
        path = self.paths[i]
        if path.suffix == ".dcm":
            import pydicom
            from pydicom.pixels import apply_voi_lut

            dataset = pydicom.dcmread(path)
            values = apply_voi_lut(dataset.pixel_array, dataset).astype(np.float32)
            values = 255 * (values - values.min()) / max(float(np.ptp(values)), 1.0)
            image = Image.fromarray(values.astype(np.uint8))
        else:
            image = Image.open(path).convert("L")
        return (self.transform(image) - 0.5) / 0.25


def plain_script(network: torch.nn.Module) -> Pipeline:
    def run(paths: list[Path]) -> np.ndarray:
        loader = torch.utils.data.DataLoader(
            PlainDataset(paths), batch_size=BATCH, num_workers=available_cores()
        )
        with torch.no_grad():
            return np.concatenate([network(batch).numpy() for batch in loader])

    return run
