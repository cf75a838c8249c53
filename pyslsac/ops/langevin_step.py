"""One Langevin move of a batch of actions, with the noise drawn inside the kernel."""

import math
from typing import Literal

import torch
from torch import Tensor

from pyslsac.ops import _library
from pyslsac.ops.reference import langevin_step as reference

_move = _library.define(
    "langevin_step_(Tensor(a!) action, Tensor grad, Tensor step_size, Tensor temperature, Tensor drift_scale, "
    "bool normalize, float grad_cap, bool cap_per_run, float low, float high, Tensor seed, Tensor step, "
    "int stream) -> ()",
    reference.langevin_step_,
    lambda *args: None,
)
Number = float | Tensor


def langevin_step_(
    action: Tensor,
    grad: Tensor,
    *,
    step_size: Number,
    temperature: Number = 1.0,
    drift_scale: Number = 1.0,
    normalize: bool = False,
    grad_cap: float | None = None,
    grad_cap_scope: Literal["sample", "run"] = "sample",
    low: float = -1.0,
    high: float = 1.0,
    seed: int | Tensor = 0,
    step: int | Tensor = 0,
    stream: int = 0,
) -> Tensor:
    """`action`, moved in place one step up `grad` plus noise.

        action ← clip(action + eps/2 · drift + √(eps · temperature) · ξ, low, high),   eps = step_size, g = grad
        drift = drift_scale · g / (|g| + 1e-8)                       with normalize, |g| of each sample
                drift_scale · g · min(1, grad_cap / (|g| + 1e-6))    with grad_cap, |g| of each sample or of each run
                drift_scale · g                                      with neither

    `grad` is the gradient of what is to rise: of log π, of Q, of -energy. With neither limit nor box, grad = ∇f and
    small eps, actions settle to the density ∝ exp(f / temperature).

    action: [R, B, A] or [B, A] (one run), contiguous, written in place; float32 and float64 run compiled, float16 and
    bfloat16 on the reference. grad: the same shape. step_size, temperature, drift_scale: numbers or tensors, 0-dim or
    [R]; seed: an integer or int64 [R]; step: an integer or an int64 tensor of one element: device tensors stay fresh
    when a captured graph is replayed. ξ is `philox_normal(action.shape, seed, step, stream=stream)`. Not
    differentiable. Raises RuntimeError naming what does not fit.
    """
    if grad_cap_scope not in ("sample", "run"):
        raise ValueError(f"langevin_step: grad_cap_scope is {grad_cap_scope!r}; wanted 'sample' or 'run'")
    compiled = action.dtype in (torch.float32, torch.float64)
    wide = torch.float64 if action.dtype == torch.float64 else torch.float32
    step_size, temperature, drift_scale = (_library.per_run(x, wide) for x in (step_size, temperature, drift_scale))
    cap = math.inf if grad_cap is None else float(grad_cap)
    seed, step = _library.seed_tensor(seed), _library.per_run(step, torch.int64)
    limits = (normalize, cap, grad_cap_scope == "run", low, high)
    op = _move if compiled else reference.langevin_step_
    with torch.no_grad():
        op(action, grad.contiguous(), step_size, temperature, drift_scale, *limits, seed, step, stream)
    torch.autograd.graph.increment_version(action)
    return action


def langevin_step(action: Tensor, grad: Tensor, **options) -> Tensor:
    """A moved copy of `action` (arguments, formula and errors: `langevin_step_`)."""
    return langevin_step_(action.detach().clone(memory_format=torch.contiguous_format), grad, **options)
