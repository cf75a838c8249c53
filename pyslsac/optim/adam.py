"""Adam, as torch's fused form computes it, clipped and stepped in one call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from pyslsac.ops import adam_


class Adam(torch.optim.Adam):
    """torch.optim.Adam(params, lr, weight_decay=..., fused=True) in numbers, options and state (Kingma & Ba 2015).

    With `decoupled_weight_decay` torch.optim.AdamW (Loshchilov & Hutter 2019).

    `step` looks up each parameter's state and calls `pyslsac.ops.adam_`: no profiler records, no hooks, no sorting of
    tensors by device, since all parameters of an optimizer here share one.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        *,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
    ) -> None:
        decay: Any = dict(weight_decay=weight_decay, decoupled_weight_decay=decoupled_weight_decay)
        super().__init__(params, lr=lr, maximize=maximize, fused=True, **decay)

    @torch.no_grad()
    def step(self, *, grad_norm: float | None = None) -> None:  # type: ignore[override]  # a closure is a TypeError
        """Move every parameter that has a gradient, as its `grad` stands.

        With `grad_norm` the gradients of each run, parameters' leading axis, are clipped in place to that norm first,
        the norm being taken over all tensors of a param group.
        """
        for group in self.param_groups:
            params, grads, means, squares, steps = [list[Tensor]() for _ in range(5)]
            self._init_group(group, params, grads, means, squares, [], steps)
            if params:
                options = {name: group[name] for name in ("lr", "betas", "weight_decay", "eps", "maximize")}
                options["decoupled"] = group["decoupled_weight_decay"]
                runs = 1 if grad_norm is None else len(params[0])
                adam_(params, grads, means, squares, steps, grad_norm=grad_norm, runs=runs, **options)

    step.hooked = True  # type: ignore[attr-defined]  # torch's __init__ wraps a step for its profiler unless this is set
