"""The policies' densities: against the change of variables, torch's own, and as densities."""

import math

import torch

from pyslsac.nn import Gaussian, TanhGaussian


def policy(runs: int = 2) -> TanhGaussian:
    return TanhGaussian(runs, 3, 2, 16, [torch.Generator().manual_seed(s) for s in range(runs)]).double()


def test_the_density_is_the_change_of_variables():
    actor, obs = policy(), torch.randn(2, 7, 3, dtype=torch.float64)
    noise = torch.randn(2, 7, 2, dtype=torch.float64)
    action, log_prob = actor(obs, noise)
    mean, log_std = actor.network(obs).chunk(2, -1)
    normal = torch.distributions.Normal(mean, log_std.exp())
    expected = (normal.log_prob(torch.atanh(action)) - torch.log(1 - action.square())).sum(-1)
    torch.testing.assert_close(log_prob, expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(actor.mode(obs), torch.tanh(mean))
    assert torch.equal(actor.sample(obs, noise), action)


def test_the_density_integrates_to_one():
    actor = TanhGaussian(1, 3, 1, 16, [torch.Generator().manual_seed(0)]).double()
    obs = torch.randn(1, 1, 3, dtype=torch.float64)
    noise = torch.linspace(-9, 9, 20001, dtype=torch.float64).view(1, -1, 1)
    action, log_prob = actor(obs.expand(1, 20001, 3), noise)
    total = torch.trapezoid(log_prob[0].exp(), action[0, :, 0])
    assert abs(total.item() - 1) < 1e-6


def test_far_tails_stay_finite():
    actor, obs = policy(1), torch.zeros(1, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        actor.network.layers[-1].bias.copy_(torch.tensor([[40.0, -40.0, 9.0, -99.0]]))
    action, log_prob = actor(obs, torch.full((1, 2, 2), 4.0, dtype=torch.float64))
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all() and all(torch.isfinite(p.grad).all() for p in actor.parameters())
    assert (action.abs() <= 1).all()
    std_floor = -20 - 0.5 * math.log(2 * math.pi)
    assert log_prob.max() < -std_floor + 200


def test_the_plain_gaussian_is_one():
    policy = Gaussian(2, 3, 2, 16, [torch.Generator().manual_seed(s) for s in range(2)]).double()
    policy.log_std.data += torch.tensor([[0.1, -0.3], [0.5, 0.0]])
    obs, action = torch.randn(2, 7, 3, dtype=torch.float64), 3 * torch.randn(2, 7, 2, dtype=torch.float64)
    mean, std = policy(obs)
    assert mean.shape == (2, 7, 2) and std.shape == (2, 1, 2)
    expected = torch.distributions.Normal(mean, std.expand_as(mean)).log_prob(action).sum(-1)
    torch.testing.assert_close(policy.log_prob(obs, action), expected)
    assert mean.abs().max() < 0.2 and abs(std[0, 0, 0].log().item() + 0.4) < 1e-6


def test_divergence_from_an_older_policy_is_torchs():
    new, old = (
        Gaussian(2, 3, 2, 16, [torch.Generator().manual_seed(s + r) for r in range(2)]).double() for s in (0, 5)
    )
    obs = torch.randn(2, 7, 3, dtype=torch.float64)
    with torch.no_grad():
        old.log_std += torch.randn(2, 2)
    laws = [torch.distributions.Normal(mean, std.expand_as(mean)) for mean, std in (old(obs), new(obs))]
    expected = torch.distributions.kl_divergence(*laws).sum(-1)
    torch.testing.assert_close(new.divergence(obs, old(obs)), expected)
