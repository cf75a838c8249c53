"""What critics say of many actions in each state, without gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from pyslsac.nn.ensemble import Ensemble, StackedLinear
from pyslsac.ops.reference.langevin_chain import ACTIVATIONS

STATES_AT_ONCE = 16  # on a CPU: with 32 actions and 256 units half a MiB between two layers


@torch.no_grad()
def action_values(critics: Ensemble, obs: Tensor, action: Tensor) -> Tensor:
    """Q [R, E, B, K] of critics with members (R, E) at K actions a state: obs [R, B, S], action [R, B, K, A].

    The first layer's product with the observation is formed once a state instead of K times; and on a CPU a member
    takes a few states at a time through all its layers, so that what lies between them stays in the cache.
    """
    layers = [layer for layer in critics.layers if isinstance(layer, StackedLinear)]
    weights, biases = ([getattr(x, n).to(x.compute or x.weight.dtype) for x in layers] for n in ("weight", "bias"))
    of_obs, of_action = weights[0].split([obs.shape[-1], action.shape[-1]], dim=2)  # [R, E, S or A, W]
    activate = torch.relu_ if critics.activation == "relu" else ACTIVATIONS[critics.activation]
    q = action.new_empty(*critics.members, *action.shape[1:3])
    size = STATES_AT_ONCE if action.device.type == "cpu" else action.shape[1]
    seen, parts = obs.to(of_obs.dtype), action.to(of_action.dtype).split(size, dim=1)
    for e in range(critics.members[1]):
        base = torch.baddbmm(biases[0][:, e].unsqueeze(1), seen, of_obs[:, e]).split(size, dim=1)  # [R, B, W]
        hidden_layers = [(w[:, e], b[:, e].unsqueeze(1)) for w, b in zip(weights[1:-1], biases[1:-1], strict=True)]
        for part, near, out in zip(parts, base, q[:, e].split(size, 1), strict=True):
            first = torch.bmm(part.flatten(1, 2), of_action[:, e])  # [R, size K, W]
            hidden = activate(first.view(*part.shape[:3], -1).add_(near.unsqueeze(2))).view_as(first)
            for weight, bias in hidden_layers:
                hidden = activate(torch.baddbmm(bias, hidden, weight))
            last = torch.bmm(hidden.to(weights[-1].dtype), weights[-1][:, e]) + biases[-1][:, e].unsqueeze(1)
            out.copy_(last.view_as(out))
    return q
