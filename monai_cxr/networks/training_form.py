"""Training form: the same network and weights, computed in the way that costs least in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from monai_cxr.networks.pooling_order import pool_before_convolution

_NEEDS_IMAGE, _NEEDS_WEIGHT = 0, 1


def training_form(network: nn.Module) -> nn.Module:
    """Put average pooling before 1 x 1 convolutions, and give 3 x 3 ones a faster gradient.

    Outputs and gradients are the same but for rounding; weights keep their names and their order.

    Args:
        network: Changed in place.

    Returns:
        The same network.
    """
    pool_before_convolution(network)
    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        for part in network.modules():
            if type(part) is nn.Conv2d and _is_same_3_by_3(part):
                part.__class__ = ProductGradientConv2d
    return network


class ProductGradientConv2d(nn.Conv2d):
    """A 3 x 3 convolution whose weights get their gradient by one matrix product a film.

    oneDNN has no blocked kernel for this gradient in channels_last on AVX2 (58 ms for 16 films of
    128 channels at 56 x 56, where the product needs 36). Elsewhere, in another precision or memory
    format, it is torch's own.
    """

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, O, H, W)."""
        if not self._pays(image):
            return super().forward(image)
        output: torch.Tensor = _Convolution.apply(image, self.weight)
        return output

    def _pays(self, image: torch.Tensor) -> bool:
        return (
            image.device.type == "cpu"
            and image.dtype == self.weight.dtype == torch.float32
            and image.is_contiguous(memory_format=torch.channels_last)
            and image.shape[2] * image.shape[3] >= 28 * 28
            and torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )


class _Convolution(torch.autograd.Function):
    """3 x 3, stride 1, padding 1, without bias."""

    @staticmethod
    def forward(context: Any, image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(image, weight)
        return functional.conv2d(image, weight, padding=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        image, weight = context.saved_tensors
        of_image = of_weight = None
        if context.needs_input_grad[_NEEDS_IMAGE]:
            of_image = torch.ops.aten.convolution_backward(
                gradient, image, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
                [True, False, False],
            )[0]  # fmt: skip
        if context.needs_input_grad[_NEEDS_WEIGHT]:
            of_weight = weight_gradient(gradient, image)
        return of_image, of_weight


def weight_gradient(gradient: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Gradient of the weights of a 3 x 3 convolution with stride 1 and padding 1.

    The gradient of the output has fewer channels than the input where this is used, so its nine
    shifts are laid side by side, not those of the input.

    Args:
        gradient: Gradient of the output, (B, O, H, W) float32.
        image: Input, (B, C, H, W) float32.

    Returns:
        (O, C, 3, 3) float32.
    """
    n, n_out, height, width = gradient.shape
    padded = functional.pad(gradient.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    pixels = image.permute(0, 2, 3, 1).reshape(n, height * width, -1)
    product = pixels.new_zeros(9 * n_out, pixels.shape[2])
    for film, values in zip(padded, pixels, strict=True):
        down, right, _ = film.stride()
        shifts = film.as_strided(
            (height, width, 3, 3, n_out), (down, right, down, right, 1), film.storage_offset()
        )
        product.addmm_(shifts.reshape(height * width, 9 * n_out).T, values)
    return product.view(3, 3, n_out, -1).flip(0, 1).permute(2, 3, 0, 1)


def _is_same_3_by_3(part: nn.Conv2d) -> bool:
    return (
        part.kernel_size == (3, 3)
        and part.stride == part.padding == part.dilation == (1, 1)
        and part.groups == 1
        and part.bias is None
        and part.padding_mode == "zeros"
        and part.out_channels < part.in_channels
    )
