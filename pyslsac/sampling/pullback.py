"""Values of an ensemble of Q-perceptrons and their gradient by the action."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyslsac.ops import QGroup, perceptron


def values_and_pullback(
    obs: Tensor, action: Tensor, group: QGroup, compute: torch.dtype | None = None
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Q [R, E, B] of a group's members at (obs, action), and the function weights [R, E, B] -> Σ_e weights_e ∇_a Q_e.

    So a gradient by a value made of the members, a spread for one, costs no second pass: pullback(∂ value / ∂ Q)
    [R, B, A], as often as wanted. obs [R, B, S], action [R, B, A]; hidden layers are computed in `compute`.
    """
    weights, biases, wide = group.weights, group.biases, group.weights[0].dtype
    names: list[str | None] = [group.activation] * (len(weights) - 1)
    at = action.detach().requires_grad_()
    with torch.enable_grad():
        if compute in (None, wide):
            q = perceptron(at, weights, biases, [*names, None], obs)
        else:
            some, rest = ([t.to(compute) for t in tensors[:-1]] for tensors in (weights, biases))
            hidden = perceptron(at.to(compute), some, rest, names, obs.to(compute))
            q = perceptron(hidden.to(wide), weights[-1:], biases[-1:], [None])
        q = q.squeeze(-1)  # [R, E, B]

    def pullback(weights: Tensor) -> Tensor:
        return torch.autograd.grad(q, at, weights, retain_graph=True)[0]

    return q.detach(), pullback
