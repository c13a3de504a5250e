"""Samplers: which films an epoch shows and in which order, a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import distributed
from torch.utils.data import Sampler

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES

SAMPLING = ("uniform", "balanced", "weighted")


def film_weights(
    labels: torch.Tensor,
    sampling: str = "uniform",
    *,
    findings: Sequence[str] = FINDING_NAMES,
    finding_weights: Mapping[str, float] | None = None,
) -> torch.Tensor | None:
    """How often each film is drawn, relative to the others.

    Args:
        labels: Shape (N, F), 0, 1 or NaN.
        sampling: ``"uniform"``: each film once an epoch. ``"balanced"``: each finding, and "none
            of them", adds one unit that its films share, so that rare findings are seen as often
            as common ones (class-balanced sampling; Shen et al., ECCV 2016, for many labels the
            sum over a film's classes). ``"weighted"``: by ``finding_weights``.
        findings: Names in the order of the labels.
        finding_weights: For ``"weighted"``: how many times as often a film with this finding is
            drawn as one without any named finding; the largest of a film's counts.

    Returns:
        Float64 of shape (N,), or None for uniform.

    Raises:
        SettingsError: If the sampling or a finding is unknown, or a weight is not positive.
    """
    if sampling not in SAMPLING:
        raise SettingsError(
            f"Expected sampling as one of {', '.join(SAMPLING)}, but got '{sampling}'."
        )
    if (sampling == "weighted") != bool(finding_weights):
        raise SettingsError(
            "finding_weights go with sampling 'weighted', and it needs them, for example "
            f"{{'Hernia': 10}}; got sampling '{sampling}' with {finding_weights}."
        )
    if sampling == "uniform":
        return None
    positive = (labels == 1).double()
    if sampling == "balanced":
        classes = torch.cat([positive, (positive.sum(1, keepdim=True) == 0).double()], dim=1)
        return (classes / classes.sum(0).clamp_min(1)).sum(1)
    by_finding = torch.zeros(len(findings), dtype=torch.float64)
    for name, weight in (finding_weights or {}).items():
        if name not in findings or not weight > 0:
            raise SettingsError(
                f"Expected positive weights of {', '.join(findings)}, but got {weight} of '{name}'."
            )
        by_finding[list(findings).index(name)] = weight
    named = positive * by_finding
    return torch.where(named.sum(1) > 0, named.max(1).values, torch.ones(len(labels)).double())


class EpochSampler(Sampler[int]):
    """An order that depends on the seed and the epoch alone, shared among processes.

    Process r of W takes places r, r + W, ... of the one order, so that W processes with batches of
    B films see what one process with batches of W B films sees. The rank is asked of
    ``torch.distributed`` when the order begins. The few films that would make the processes'
    shares unequal are left out of the epoch, others in each.

    Args:
        n: Number of films.
        seed: Seed of the order.
        weights: Result of :func:`film_weights`; n films are drawn in an epoch, with replacement.
    """

    def __init__(self, n: int, seed: int = 0, weights: torch.Tensor | None = None) -> None:
        if weights is not None and len(weights) != n:
            raise SettingsError(f"Expected a weight for each of {n} films, got {len(weights)}.")
        self.n = n
        self.seed = seed
        self.weights = weights
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration uses."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of films of this process in an epoch."""
        return self.n // process_share()[1]

    def __iter__(self) -> Iterator[int]:
        """The films of this process in the order of the epoch."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        if self.weights is None:
            order = torch.randperm(self.n, generator=generator)
        else:
            order = torch.multinomial(self.weights, self.n, replacement=True, generator=generator)
        rank, world_size = process_share()
        return iter(order[rank::world_size][: len(self)].tolist())


def process_share() -> tuple[int, int]:
    """(rank, number of processes) of distributed training; (0, 1) outside it."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
