"""Products with the Fisher matrix of a Gaussian policy, which is never formed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyslsac.nn.ensemble import StackedLinear
from pyslsac.nn.flat import flat, unflat
from pyslsac.nn.gaussian import Gaussian


def fisher_product(policy: Gaussian, obs: Tensor, damping: float) -> Callable[[Tensor], Tensor]:
    """v [R, P] -> (F + damping I) v, F the Hessian of mean_B KL(policy now || policy)(obs) where the two are equal.

    With J the Jacobian of the mean at obs [R, B, S], F is Jᵀ diag(1 / std²) J / B among the network's parameters and
    2 I among those of log std, and nothing mixes them: that KL is flat in mean and log std there, so that the second
    derivatives of the network do not count. J v goes forward through the layers beside activations that are kept,
    Jᵀ goes back through autograd. v is in the order of policy.parameters(), which must not change meanwhile.
    """
    layers = [layer for layer in policy.network.layers if isinstance(layer, StackedLinear)]
    network, everything = list(policy.network.parameters()), list(policy.parameters())
    values = [obs]
    for layer in layers:
        values.append(layer(values[-1]))
    weight = (-2 * policy.log_std.detach()).exp().unsqueeze(1) / obs.shape[1]  # [R, 1, A]

    @torch.no_grad()
    def product(v: Tensor) -> Tensor:
        log_std, *changes = unflat(v, everything)
        shift = torch.zeros_like(obs)
        for layer, x, y, change, bias in zip(layers, values, values[1:], changes[::2], changes[1::2], strict=False):
            shift = shift @ layer.weight + x.to(v) @ change + bias.unsqueeze(1)
            if layer.activation is not None:
                shift = shift * (1 - y.to(v).square())  # of tanh
        back = torch.autograd.grad(values[-1], network, shift * weight, retain_graph=True)
        return flat([2 * log_std, *back]) + damping * v

    return product
