"""Adam, as torch's fused form computes it, without the wrapper that takes longer than the step of a small network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT


class Adam(torch.optim.Adam):
    """torch.optim.Adam(params, lr, weight_decay=..., fused=True) in numbers, options and state (Kingma & Ba 2015).

    `step` looks up each parameter's state and makes the one fused call: no profiler records, no hooks, no sorting of
    tensors by device, since all parameters of an optimizer here share one.
    """

    def __init__(self, params: ParamsT, lr: float, *, weight_decay: float = 0.0, maximize: bool = False) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, maximize=maximize, fused=True)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # torch's takes a closure: here one is a TypeError
        """Move every parameter that has a gradient, as its `grad` stands."""
        for group in self.param_groups:
            params, grads, means, squares, steps = [list[Tensor]() for _ in range(5)]
            self._init_group(group, params, grads, means, squares, [], steps)
            if params:
                beta1, beta2 = group["betas"]
                options = {name: group[name] for name in ("lr", "weight_decay", "eps", "maximize")}
                torch._foreach_add_(steps, 1)
                torch._fused_adam_(
                    params, grads, means, squares, [], steps, beta1=beta1, beta2=beta2, amsgrad=False, **options
                )

    step.hooked = True  # type: ignore[attr-defined]  # torch's __init__ wraps a step for its profiler unless this is set
