"""Products in bfloat16 as the ops define them, in any dtype."""

from typing import Any

import torch
from torch import Tensor


def rounded(x: Tensor) -> Tensor:
    return x.bfloat16().to(x.dtype)


class RoundedProduct(torch.autograd.Function):
    """x @ y of rounded factors, whose derivatives are products of rounded factors too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return rounded(x) @ rounded(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, y = (rounded(saved) for saved in ctx.saved_tensors)
        grad = rounded(grad)
        by_x, by_y = grad @ y.mT, x.mT @ grad
        return by_x.sum_to_size(x.shape), by_y.sum_to_size(y.shape)


def error(got: list[Tensor], wanted: list[Tensor]) -> float:
    """The largest distance between two tensors in parts of the length of the wanted one."""
    pairs = zip(got, wanted, strict=True)
    return max(((a.double() - b.double()).norm() / b.double().norm()).item() for a, b in pairs)
