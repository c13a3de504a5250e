"""Tensors that say ``cuda`` and hold nothing: what a rehearsal without a GPU needs.

Under torch's ``FakeTensorMode`` an operation on tensors of two devices raises, as it does on a GPU,
and so does reading a number.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode


@pytest.fixture
def autocast_believes_in_a_gpu(monkeypatch):
    """Autocast asks whether there is a GPU, and switches itself off with a warning."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)


def on_cuda(network: torch.nn.Module) -> torch.nn.Module:
    """The network with weights that say ``cuda``, in channels_last; call it in the fake mode."""
    for module in network.modules():
        for store in (module._parameters, module._buffers):
            for name, value in store.items():
                if value is not None:
                    store[name] = _empty_like(value)
    return network


def _empty_like(value: torch.Tensor) -> torch.Tensor:
    layout = torch.channels_last if value.dim() == 4 else torch.contiguous_format
    made = torch.empty(value.shape, dtype=value.dtype, device="cuda", memory_format=layout)
    if isinstance(value, torch.nn.Parameter):
        return torch.nn.Parameter(made, requires_grad=value.requires_grad)
    return made


class Transfers(TorchDispatchMode):
    """Counts what a GPU's step would wait for or fetch: copies between devices, numbers read."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[str] = []
        self.reads: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name.endswith(("_local_scalar_dense", "::nonzero", "::is_nonzero")):
            self.reads.append(name)
        if name.endswith(("::_to_copy", "::copy_")):
            given = args[-1] if name.endswith("copy_") else args[0]
            if given.device.type != result.device.type:
                self.copies.append(f"{given.device.type} to {result.device.type}")
        return result
