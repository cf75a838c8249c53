"""The dual of CVPO's E-step and damped Newton steps on it, in plain torch: what `pyslsac::estep_dual` means."""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from pyslsac.ops.reference import require

ETA_RANGE = (1e-3, 1e3)
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


def estep_dual(
    q: Tensor, eta: Tensor, multiplier: Tensor, eps: float, budget: float, steps: int, maximum: float
) -> tuple[Tensor, Tensor]:
    """`steps` steps from eta and multiplier; `pyslsac.ops.estep_dual` has the formulas. The host reads nothing."""
    check(q, eta, multiplier, steps, maximum)
    u, multiplier, (low, high) = eta.log(), multiplier.clone(), map(math.log, ETA_RANGE)
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


def check(q: Tensor, eta: Tensor, multiplier: Tensor, steps: int, maximum: float) -> None:
    """Refuse what csrc/bind/estep_dual.cpp refuses."""
    op, wide = "estep_dual", torch.float64
    fits = q.dtype == wide and q.is_contiguous() and q.dim() == 4 and q.shape[1] == 2 and q.numel() > 0
    require(fits, op, "q", q, "float64 [R, 2, B, K], contiguous")
    for name, start in (("eta", eta), ("multiplier", multiplier)):
        fits = start.dtype == wide and list(start.shape) == [len(q)] and start.device == q.device
        require(fits, op, name, start, f"float64 [{len(q)}] beside q")
    require(steps >= 0, op, "steps", steps, "at least 0")
    require(maximum >= 0, op, "maximum", maximum, "at least 0")
