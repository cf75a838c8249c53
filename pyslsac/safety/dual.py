"""The dual of CVPO's E-step: how to reweight sampled actions so that they earn more and cost no more than a budget.

    g(eta, multiplier) = eta eps + multiplier budget + eta mean_B log mean_K exp(z / eta),    z = Q_r - multiplier Q_c

over eta > 0 and multiplier >= 0 is least where the weights w = softmax_K(z / eta) keep KL(w || 1/K) = eps and
E_w[Q_c] = budget on the mean over states; where a bound holds a variable, its equation is slack (Liu et al. 2022).

`q` [R, 2, B, K] are Q_r and Q_c of K actions a state, only ever read; eta and multiplier are [R]. All arithmetic is in
float64, for step sizes are chosen by comparing g, which near the optimum differs by less than float32 tells.
"""

from __future__ import annotations

import copy
import functools
import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

DualOptimizer = Literal["newton", "adam"]
ETA_RANGE = (1e-3, 1e3)
ADAM_RANGE = (1e-6, 20.0)  # of both variables, as FSRL clamps them
STEP_SIZES = (1.0, 1 / 2, 1 / 4, 1 / 16, 0.0)
LARGEST_STEP = 1.5  # in log eta
DAMPING = 1e-6
ROUNDING = 1e-14  # relative to the tables: differences of g below it mean nothing


class Weighted(NamedTuple):
    """The weights and what they do, on the mean over states; g's derivatives are made of that (m: multiplier, η: eta).

    g_η = eps - kl,   g_m = budget - cost,   g_ηη = cov_00 / η³,   g_ηm = cov_01 / η²,   g_mm = cov_11 / η.
    """

    w: Tensor  # [R, B, K] softmax_K(z / eta)
    kl: Tensor  # [R] KL(w || 1/K)
    cost: Tensor  # [R] E_w[Q_c]
    cov: Tensor  # [R, 2, 2] covariance under w of z and Q_c


def objective(q: Tensor, eta: Tensor, multiplier: Tensor, eps: float, budget: float) -> Tensor:
    """g [R, C], for C pairs of eta and multiplier [R, C]."""
    coefs = torch.stack([torch.ones_like(eta), -multiplier], dim=-1) / eta.unsqueeze(-1)  # [R, C, 2]
    x = torch.bmm(coefs, q.flatten(2)).unflatten(2, q.shape[2:])  # [R, C, B, K] z / eta
    log_mean = x.logsumexp(-1).mean(-1) - math.log(q.shape[-1])
    return eta * (log_mean + eps) + multiplier * budget


def reweight(q: Tensor, eta: Tensor, multiplier: Tensor) -> Weighted:
    """The weights at eta and multiplier [R], their KL, cost and covariance."""
    runs, _, states, actions = q.shape
    z = torch.addcmul(q[:, 0], multiplier.view(-1, 1, 1), q[:, 1], value=-1)
    log_w = (z / eta.view(-1, 1, 1)).log_softmax(-1)
    w = log_w.exp()
    kl = torch.linalg.vecdot(w.view(runs, -1), log_w.view(runs, -1)) / states + math.log(actions)
    pair, each = torch.stack([z, q[:, 1]], dim=1), w.unsqueeze(1)
    mean = (each * pair).sum(-1, keepdim=True)  # [R, 2, B, 1]
    off = pair - mean
    cov = torch.bmm((each * off).flatten(2), off.flatten(2).mT) / states
    return Weighted(w, kl, mean[:, 1].mean((1, 2)), cov)


@functools.cache
def step_sizes(device: torch.device) -> Tensor:
    """STEP_SIZES [C] on `device`, taken there once."""
    return torch.tensor(STEP_SIZES, dtype=torch.float64, device=device)


def solve(
    q: Tensor, eta: Tensor, multiplier: Tensor, eps: float, budget: float, *, steps: int = 15, maximum: float = 20.0
) -> tuple[Tensor, Tensor]:
    """(eta, multiplier) [R] after `steps` damped Newton steps on (u = log eta, multiplier) from those given.

    In u the Hessian of g is often indefinite, so H_uu = η² g_ηη + |η g_η|, H_um = η g_ηm, H_mm = g_mm, and 1e-6 I is
    added. A step minimises that quadratic model over multiplier in [0, maximum], |step in u| <= 1.5 and eta in
    [1e-3, 1e3], one variable after the other, so that each makes the best of the other's bounds. Of the step times
    1, 1/2, 1/4, 1/16 and 0 the one with the least g is taken, so that g ends no higher than it starts, rounding apart;
    of those that only rounding tells apart the longest, or rounding would say where the last steps stop. The host
    reads nothing.
    """
    u, (low, high) = eta.log(), map(math.log, ETA_RANGE)
    sizes = step_sizes(u.device)
    scale_reward, scale_cost = (ROUNDING * q.abs().mean((2, 3))).unbind(1)
    for _ in range(steps):
        eta = u.exp()
        _, kl, cost, cov = reweight(q, eta, multiplier)
        g_u, g_m = eta * (eps - kl), budget - cost
        h_uu, h_um, _, h_mm = (cov.flatten(1) / eta.unsqueeze(1)).unbind(1)
        h_uu, h_mm = h_uu + (g_u.abs() + DAMPING), h_mm + DAMPING
        m_to = (multiplier + (h_um * g_u - h_uu * g_m) / (h_uu * h_mm - h_um * h_um)).clamp(0, maximum)
        u_step = (g_u + h_um * (m_to - multiplier)) / -h_uu
        u_to = (u + u_step.clamp(-LARGEST_STEP, LARGEST_STEP)).clamp(low, high)
        m_to = (multiplier - (g_m + h_um * (u_to - u)) / h_mm).clamp(0, maximum)
        us, ms = (a.unsqueeze(1).lerp(b.unsqueeze(1), sizes) for a, b in ((u, u_to), (multiplier, m_to)))  # [R, C]
        values = objective(q, us.exp(), ms, eps, budget)
        same = values <= (values.amin(1) + scale_reward + multiplier * scale_cost).unsqueeze(1)
        best = same.to(torch.uint8).argmax(1, keepdim=True)  # the first of them
        u, multiplier = us.gather(1, best).squeeze(1), ms.gather(1, best).squeeze(1)
    return u.exp(), multiplier


class Dual:
    """eta and multiplier [R], float64, kept from one minibatch to the next.

    "newton": `solve` from where they stand. "adam": one step of Adam on g, then both clamped to [1e-6, 20] (FSRL).
    """

    def __init__(
        self,
        runs: int,
        eps: float,
        budget: float,
        *,
        optimizer: DualOptimizer = "newton",
        lr: float = 0.02,
        maximum: float = 20.0,
        device: torch.device | str = "cpu",
    ) -> None:
        if optimizer not in ("newton", "adam"):
            raise ValueError(f"Dual: optimizer is {optimizer!r}, wanted 'newton' or 'adam'")
        self.eps, self.budget, self.maximum, self.newton = eps, budget, maximum, optimizer == "newton"
        self.eta = torch.ones(runs, dtype=torch.float64, device=device)
        self.multiplier = torch.zeros_like(self.eta)
        self.adam = torch.optim.Adam([self.eta, self.multiplier], lr=lr, fused=True, capturable=self.eta.is_cuda)

    @torch.no_grad()
    def fit(self, q: Tensor) -> Weighted:
        """Move eta and multiplier to suit q [R, 2, B, K]; returns the weights that they give."""
        if self.newton:
            found = solve(q, self.eta, self.multiplier, self.eps, self.budget, maximum=self.maximum)
            self.eta.copy_(found[0])
            self.multiplier.copy_(found[1])
        else:
            now = reweight(q, self.eta, self.multiplier)
            self.eta.grad, self.multiplier.grad = self.eps - now.kl, self.budget - now.cost
            self.adam.step()
            for value in (self.eta, self.multiplier):
                value.clamp_(*ADAM_RANGE)
        return reweight(q, self.eta, self.multiplier)

    def state_dict(self) -> dict[str, Any]:
        optimizer = copy.deepcopy(self.adam.state_dict())
        return {"eta": self.eta.clone(), "multiplier": self.multiplier.clone(), "optimizer": optimizer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.eta.copy_(state["eta"])
        self.multiplier.copy_(state["multiplier"])
        self.adam.load_state_dict(state["optimizer"])
