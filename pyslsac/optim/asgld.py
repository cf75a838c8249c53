"""ASGLD, a drop-in torch optimizer: an adaptive drift beside the gradient, and Langevin noise on every weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from pyslsac.ops import asgld_
from pyslsac.ops.asgld import VARIANTS, wide
from pyslsac.optim.fields import axes_of, check_fields, check_param, real, seeds_of
from pyslsac.optim.noise import noise_report
from pyslsac.optim.shards import clip_sharded, is_sharded, local, offset_of

RULE = ("lr", "temperature", "bias", "betas", "eps", "weight_decay", "variant", "clip_threshold", "maximize", "seed")


class ASGLD(Optimizer):
    """Adaptive stochastic-gradient Langevin dynamics: θ ← θ - lr (g + bias m / (√v + eps)) + √(2 lr temperature) ξ.

    `pyslsac.ops.asgld_` has every variant's formula; docs/optimizer.md tells what each field does.

    members: the leading axes of every parameter that count independent networks: E, or (R, E) for R runs of E, or (R,).
    Each network is clipped by its own norm over all its tensors in the group; each run has its own noise.
    seed: of the noise: an integer (run r takes seed + r), or one a run; None draws it from torch's default generator.
    compensated: keep what rounding θ loses in a residual, so that noise far below one unit in the last place adds up.
    fused: None runs the compiled op where there is one, False the reference; True raises where there is none.
    capturable: None and True allow capture in a CUDA graph (step counts always live beside the parameter).
    State of a parameter: `step` (int64), `stream` (its position in the optimizer, which tags its noise), `exp_avg`,
    `exp_avg_sq`, `residual`: float64 for float64 parameters, else float32. Raises ValueError for a field out of range.
    """

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
        seed = int(torch.randint(2**62, ())) if seed is None else seed
        defaults = dict(
            lr=lr, temperature=temperature, bias=bias, betas=betas, eps=eps, weight_decay=weight_decay, variant=variant,
            clip=clip, clip_threshold=clip_threshold, members=members, compensated=compensated, maximize=maximize,
            seed=seed, fused=fused, capturable=capturable is not False,
        )  # fmt: skip
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        check_fields({**self.defaults, **param_group})
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for param in group["params"]:
                check_param(param, group)
            group["seed"] = seeds_of(group["seed"], group["members"])
            if group["params"]:
                group["seed"] = group["seed"].to(group["params"][0].device)
        except ValueError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None, *, noise: bool = True) -> Any:
        """Move each parameter that has a gradient; returns the closure's loss. noise=False moves by the drift alone."""
        self._cuda_graph_capture_health_check()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        stream = 0
        for group in self.param_groups:
            moved: dict[torch.device, list[tuple[Tensor, dict[str, Any]]]] = {}
            for position, param in enumerate(group["params"], stream):
                if param.grad is not None:
                    moved.setdefault(param.device, []).append((param, self._state_of(param, position, group)))
            stream += len(group["params"])
            if len(moved) > 1 and group["clip"] in ("grad_norm", "drift_norm"):
                raise ValueError(
                    f"ASGLD: clip={group['clip']!r} for a group on {len(moved)} devices; give each a group"
                )
            for device, entries in moved.items():
                scale, found_inf = (_on(getattr(self, name, None), device) for name in ("grad_scale", "found_inf"))
                self._step_group(group, entries, noise, scale, found_inf)
        return loss

    def _state_of(self, param: Tensor, position: int, group: dict[str, Any]) -> dict[str, Any]:
        if param.grad is not None and param.grad.is_sparse:
            raise RuntimeError("ASGLD: a gradient is sparse; wanted dense gradients (e.g. Embedding(sparse=False))")
        state = self.state[param]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.int64, device=param.device)
            state["stream"] = position
            names = ("exp_avg_sq", "exp_avg")[: VARIANTS[group["variant"]]] + ("residual",) * group["compensated"]
            for name in names:
                state[name] = torch.zeros_like(real(param), dtype=wide(real(param)))
        return state

    def _step_group(
        self, group: dict[str, Any], entries: list, noise: bool, grad_scale: Tensor | None, found_inf: Tensor | None
    ) -> None:
        params, states = zip(*entries, strict=True)
        grads, clip = [real(p.grad) for p in params], group["clip"]
        if clip == "grad_norm" and any(map(is_sharded, params)):
            grads, clip = clip_sharded(grads, group["clip_threshold"], grad_scale), None
        steps = [state["step"] for state in states]
        asgld_(
            [local(real(p)) for p in params],
            [local(g) for g in grads],
            *([local(s[k]) for s in states if k in s] for k in ("exp_avg", "exp_avg_sq", "residual")),
            steps=steps,
            streams=[state["stream"] for state in states],
            offsets=[offset_of(p) for p in params],
            networks=math.prod(axes_of(group["members"])),
            clip=clip,
            noise=noise,
            grad_scale=grad_scale,
            found_inf=found_inf,
            fused=group["fused"] is not False,
            **{key: group[key] for key in RULE},
        )
        torch._foreach_add_(steps, 1 if found_inf is None else (found_inf == 0).to(torch.int64))

    def noise_report(self) -> tuple[Tensor, Tensor]:
        """(|noise| / |drift| [R], share of weights that the noise alone moves [R]) of the last step; see `noise.py`."""
        return noise_report(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a `state_dict()`: moments and residual keep their dtype, steps stay int64, the noise goes on."""
        found: dict[str, Any] = {}
        hook = self.register_load_state_dict_pre_hook(lambda _, loaded: found.update(loaded))  # after the user's hooks
        self._loading = found
        try:
            super().load_state_dict(state_dict)
        finally:
            hook.remove()
            del self._loading

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if loaded := getattr(self, "_loading", None):  # torch has cast all to the parameter's dtype: take it anew
            keys = [key for group in loaded["param_groups"] for key in group["params"]]
            for key, param in zip(keys, (p for group in self.param_groups for p in group["params"]), strict=True):
                for name, value in loaded["state"].get(key, {}).items():
                    if isinstance(value, Tensor):
                        dtype = torch.int64 if name == "step" else wide(real(param))
                        self.state[param][name] = value.to(param.device, dtype, copy=True)
        for group in self.param_groups:
            if group["params"] and isinstance(group["seed"], Tensor):
                group["seed"] = group["seed"].to(group["params"][0].device)


def _on(value: Tensor | None, device: torch.device) -> Tensor | None:
    return None if value is None else value.to(device).float()
