"""Distributed: what the processes of one training share: weights, buffers, rows."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch.nn.parallel import DistributedDataParallel


def plain(network: torch.nn.Module) -> torch.nn.Module:
    """The network itself, out of its DistributedDataParallel wrapper if it has one."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """Rows of all processes, however many each has, in the order of the ranks.

    Args:
        rows: Shape (n, F); n may differ between processes.

    Returns:
        Shape (N, F), the same in each process; ``rows`` itself where there is one process.
    """
    if idist.get_world_size() == 1:
        return rows
    lengths = [int(n) for n in idist.all_gather(len(rows))]
    padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = idist.all_gather(padded).split(max(lengths))
    return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])


class SyncBuffers:
    """Ignite handler: give each process the buffers of rank 0 before it validates.

    Running statistics of batch normalisation differ between processes until the next training
    step; ``model.pt`` holds those of rank 0, so that is what must be validated.

    Args:
        network: The network whose buffers are sent.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = plain(network)

    def attach(self, engine: Engine) -> None:
        """Run when the evaluator starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Send the buffers."""
        if idist.get_world_size() > 1:
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, src=0)
