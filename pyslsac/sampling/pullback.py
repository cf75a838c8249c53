"""Values of an ensemble of Q-perceptrons and their gradient by the action, without autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyslsac.ops import QGroup
from pyslsac.ops.reference.langevin_chain import ACTIVATIONS, BACKWARD


def values_and_pullback(
    obs: Tensor, action: Tensor, group: QGroup, compute: torch.dtype | None = None
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Q [R, E, B] of a group's members at (obs, action), and the function weights [R, E, B] -> Σ_e weights_e ∇_a Q_e.

    So a gradient by a value made of the members, a spread for one, costs no autograd graph and no second pass:
    pullback(∂ value / ∂ Q) [R, B, A]. obs [R, B, S], action [R, B, A]; hidden layers are computed in `compute`.
    """
    act, back = list(ACTIVATIONS).index(group.activation), group.weights[0].dtype
    members, first = group.weights[0].shape[1], group.weights[0].flatten(0, 1)
    *hidden, out = [
        (w.flatten(0, 1), b.flatten(0, 1).unsqueeze(1)) for w, b in zip(group.weights, group.biases, strict=True)
    ]
    x = torch.cat([obs, action], -1).unsqueeze(1).expand(-1, members, -1, -1).contiguous().flatten(0, 1)  # [R E, B, in]
    sums = []
    for weight, bias in hidden:
        sums.append(torch.baddbmm(bias.to(compute), x.to(compute), weight.to(compute)))
        x = ACTIVATIONS[group.activation](sums[-1])
    values = torch.baddbmm(out[1], x.to(back), out[0]).unflatten(0, (-1, members)).squeeze(-1)

    def pullback(weights: Tensor) -> Tensor:
        grad = weights.flatten(0, 1).unsqueeze(-1) * out[0].mT  # [R E, B, W]
        for depth in reversed(range(len(hidden))):
            grad = BACKWARD[act](grad.to(sums[depth].dtype), sums[depth])
            weight = hidden[depth][0] if depth else first[:, obs.shape[-1] :]
            grad = torch.bmm(grad, weight.to(grad.dtype).mT)
        return grad.to(back).unflatten(0, (-1, members)).sum(1)

    return values, pullback
