"""ASGLD, a drop-in torch optimizer: Langevin noise and an adaptive drift on top of the plain gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from pyslsac.ops import asgld_
from pyslsac.ops.asgld import CLIPS, VARIANTS


class ASGLD(Optimizer):
    """Adaptive stochastic-gradient Langevin dynamics (`pyslsac.ops.asgld_` holds the formulas)."""

    _step_supports_amp_scaling = True  # GradScaler hands over grad_scale and found_inf instead of reading them

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 3e-4,
        *,
        temperature: float | Tensor = 1e-16,
        bias: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        variant: str = "asgld",
        clip: str | None = "grad_norm",
        clip_threshold: float = 0.7,
        members: int | tuple[int, ...] = (),
        compensated: bool = False,
        maximize: bool = False,
        seed: int | Sequence[int] | Tensor | None = None,
        fused: bool | None = None,
        capturable: bool | None = None,
    ) -> None:
        if seed is None:
            seed = int(torch.randint(2**62, ()))
        defaults = dict(
            lr=lr, temperature=temperature, bias=bias, betas=betas, eps=eps, weight_decay=weight_decay, variant=variant,
            clip=clip, clip_threshold=clip_threshold, members=members, compensated=compensated, maximize=maximize,
            seed=seed, fused=fused, capturable=capturable is not False,
        )  # fmt: skip
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        members, seed = group["members"], group["seed"]
        runs = members[0] if isinstance(members, tuple) and members else 1
        if isinstance(seed, int):
            seed = [seed + run for run in range(runs)]
        group["seed"] = torch.as_tensor(seed, dtype=torch.int64).reshape(-1).to(group["params"][0].device)

    def _state_of(self, param: Tensor, stream: int, group: dict[str, Any]) -> dict[str, Any]:
        state = self.state[param]
        if not state:
            real = torch.view_as_real(param) if param.is_complex() else param
            wide = torch.float64 if real.dtype == torch.float64 else torch.float32
            state["step"] = torch.zeros((), dtype=torch.int64, device=param.device)
            state["stream"] = stream
            names = {"asgld": 2, "asgld-preconditioned": 2, "psgld": 1, "sgld": 0}[group["variant"]]
            for name in ("exp_avg_sq", "exp_avg")[:names] + ("residual",) * group["compensated"]:
                state[name] = torch.zeros_like(real, dtype=wide, memory_format=torch.preserve_format)
        return state

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None, *, noise: bool = True) -> Tensor | None:
        """One step; the loss where a closure is given. noise=False moves by the drift alone and keeps the step count."""
        self._cuda_graph_capture_health_check()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        stream = 0
        for group in self.param_groups:
            first, stream = stream, stream + len(group["params"])
            params, states = [], []
            for position, param in enumerate(group["params"], first):
                if param.grad is not None:
                    params.append(param)
                    states.append(self._state_of(param, position, group))
            self._step_group(group, params, states, noise)
        return loss

    def _step_group(self, group, params, states, noise) -> None:
        members = group["members"] if isinstance(group["members"], tuple) else (group["members"],)
        networks = 1
        for count in members:
            networks *= count
        steps = [state["step"] for state in states]
        asgld_(
            [torch.view_as_real(p) if p.is_complex() else p for p in params],
            [torch.view_as_real(p.grad) if p.is_complex() else p.grad for p in params],
            *([s[k] for s in states if k in s] for k in ("exp_avg", "exp_avg_sq", "residual")),
            steps=steps,
            streams=[s["stream"] for s in states],
            networks=networks,
            noise=noise,
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=getattr(self, "found_inf", None),
            fused=group["fused"] is not False,
            **{k: group[k] for k in ("seed", "lr", "temperature", "bias", "betas", "eps", "weight_decay", "variant", "clip",
                                     "clip_threshold", "maximize")},
        )  # fmt: skip
        found_inf = getattr(self, "found_inf", None)
        for step in steps:
            step.add_(1 if found_inf is None else (found_inf == 0).to(torch.int64))
