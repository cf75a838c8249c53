"""The deterministic policy: a tanh of its own network for each run, and the clip of noisy actions."""

import torch

from pyslsac.nn import Deterministic


def policy(runs: int = 2) -> Deterministic:
    return Deterministic(runs, 3, 2, 16, [torch.Generator().manual_seed(s) for s in range(runs)]).double()


def test_each_run_has_a_network_of_its_own():
    actor, obs = policy(), torch.randn(2, 7, 3, dtype=torch.float64)
    first, second, last = actor.network.layers
    for run in range(2):
        hidden = torch.relu(obs[run] @ first.weight[run] + first.bias[run])
        hidden = torch.relu(hidden @ second.weight[run] + second.bias[run])
        torch.testing.assert_close(actor(obs)[run], torch.tanh(hidden @ last.weight[run] + last.bias[run]))
    alone = Deterministic(1, 3, 2, 16, [torch.Generator().manual_seed(0)]).double()
    torch.testing.assert_close(alone(obs[:1]), actor(obs)[:1])


def test_noise_is_added_to_the_action_and_clipped():
    actor, obs = policy(), torch.randn(2, 7, 3, dtype=torch.float64)
    noise = 2 * torch.randn(2, 7, 2, dtype=torch.float64)
    action, noisy = actor(obs), actor(obs, noise)
    inside = (action + noise).abs() < 1
    assert 0 < inside.sum() < inside.numel()
    torch.testing.assert_close(noisy[inside], (action + noise)[inside])
    torch.testing.assert_close(noisy[~inside], noise[~inside].sign())
