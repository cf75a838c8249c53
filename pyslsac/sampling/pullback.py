"""Values of an ensemble of Q-perceptrons and their gradient by the action."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyslsac.ops import QGroup, perceptron


def values_and_pullback(
    obs: Tensor, action: Tensor, group: QGroup, bf16: bool = False
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Q [R, E, B] of a group's members at (obs, action), and the function weights [R, E, B] -> Σ_e weights_e ∇_a Q_e.

    So a gradient by a value made of the members, a spread for one, costs no second pass: pullback(∂ value / ∂ Q)
    [R, B, A], as often as wanted. obs [R, B, S], action [R, B, A]; bf16: hidden layers multiply in bfloat16.
    """
    names: list[str | None] = [group.activation] * (len(group.weights) - 1)
    at = action.detach().requires_grad_()
    with torch.enable_grad():
        q = perceptron(at, group.weights, group.biases, [*names, None], obs, bf16 * len(names)).squeeze(-1)  # [R, E, B]

    def pullback(weights: Tensor) -> Tensor:
        return torch.autograd.grad(q, at, weights, retain_graph=True)[0]

    return q.detach(), pullback
