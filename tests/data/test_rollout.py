"""Rollouts: generalised advantages, what is read back from the replay, and the rows to learn from."""

import pytest
import torch

from pyslsac.data import Estimates, Replay, Rollout, Spec, gae


def column(*values: float) -> torch.Tensor:
    """One run, one environment [1, T, 1], float64."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1)


def test_hand_worked_table():
    """gamma = decay = 0.5: a termination at t = 1, a time-out at t = 3, the rollout stops after t = 5.

    δ = 1 + 2 - 2, 2 + 0 - 4, 0 + 3 - 2, 1 + 5 - 6, 3 + 1 - 2, 2 + 4 - 2; A goes back from the ends, a quarter a step.
    """
    reward, value = column(1, 2, 0, 1, 3, 2), column(2, 4, 2, 6, 2, 2)
    final = column(100, 200, 300, 10, 400, 8)  # counts at t = 3 and t = 5 alone
    terminated, ended = column(0, 1, 0, 0, 0, 0), column(0, 1, 0, 1, 0, 0)
    found = gae(reward, value, final, terminated, ended, 0.5, 0.5)
    assert found.flatten().tolist() == [1 - 2 / 4, -2, 1 + 0 / 4, 0, 2 + 4 / 4, 4]


def slowly(reward, value, final, terminated, ended, gamma, decay):
    """One environment of one run after another, from the last step to the first."""
    found = torch.zeros_like(reward)
    runs, steps, envs = reward.shape
    for run in range(runs):
        for env in range(envs):
            ahead = 0.0
            for t in reversed(range(steps)):
                over = bool(ended[run, t, env])
                after = final[run, t, env] if over or t == steps - 1 else value[run, t + 1, env]
                after = 0.0 if terminated[run, t, env] else after
                delta = reward[run, t, env] + gamma * after - value[run, t, env]
                ahead = delta + (0.0 if over else gamma * decay * ahead)
                found[run, t, env] = ahead
    return found


@pytest.mark.parametrize("steps", [1, 2, 3, 31, 32, 33, 200])
@pytest.mark.parametrize(("gamma", "decay"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (0.0, 0.5)])
def test_the_doubled_sums_are_the_loops(steps, gamma, decay):
    generator = torch.Generator().manual_seed(steps)
    shape = (2, steps, 3)
    reward, value, final = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    ended = (torch.rand(shape, generator=generator) < 0.1).double()
    terminated = ended * (torch.rand(shape, generator=generator) < 0.5)
    parts = reward, value, final, terminated, ended
    expected = slowly(*parts, gamma, decay)
    torch.testing.assert_close(gae(*parts, gamma, decay), expected, rtol=1e-12, atol=1e-12)
    found = gae(*(part.float() for part in parts), gamma, decay)
    torch.testing.assert_close(found.double(), expected, rtol=2e-5, atol=2e-5)


def filled(vector_steps: int, capacity: int = 8) -> Replay:
    """Two environments; the obs of environment e at time t is 10 t + e."""
    replay = Replay(Spec(obs_dim=1, act_dim=1), capacity, 1)
    for t in range(vector_steps):
        obs = torch.tensor([[[10.0 * t], [10.0 * t + 1]]])
        flag = torch.tensor([[t % 3 == 2, False]])
        replay.add(obs, 2 + obs, obs[..., 0] * 100, obs[..., 0] / 100, obs + 10, flag & False, flag)
    return replay


def test_the_latest_steps_in_order_also_over_the_rings_end():
    rollout = Rollout.latest(filled(7), 3)
    assert rollout.obs[0, :, :, 0].tolist() == [[40, 41], [50, 51], [60, 61]]
    assert rollout.action.equal(rollout.obs + 2) and rollout.next_obs.equal(rollout.obs + 10)
    assert rollout.reward[0].tolist() == [[4000, 4100], [5000, 5100], [6000, 6100]]
    torch.testing.assert_close(rollout.cost, rollout.reward / 10_000)
    assert rollout.ended[0].tolist() == [[0, 0], [1, 0], [0, 0]] and not rollout.terminated.any()


@pytest.mark.parametrize("steps", [0, 5])
def test_more_than_the_replay_holds_is_refused(steps):
    with pytest.raises(ValueError, match=f"Rollout: {2 * steps} transitions wanted, the replay holds 8"):
        Rollout.latest(filled(7), steps)


def test_estimates_are_standardised_rewards_and_centred_costs():
    rollout = Rollout.latest(filled(4), 4).to("cpu", torch.float64)

    def critics(obs):
        return torch.stack([obs * 3, obs - 1], dim=1)  # [R, 2, B, 1]

    estimates = rollout.estimates(lambda obs, action: (obs + action)[..., 0], critics, (0.9, 0.8), 0.7)
    obs = rollout.obs[..., 0]
    for place, (signal, gamma) in enumerate([(rollout.reward, 0.9), (rollout.cost, 0.8)]):
        value, final = (critics(x.flatten(1, 2))[:, place, :, 0].view_as(obs) for x in (rollout.obs, rollout.next_obs))
        advantage = gae(signal, value, final, rollout.terminated, rollout.ended, gamma, 0.7)
        torch.testing.assert_close(estimates.targets[..., place], (advantage + value).flatten(1))
        centred = (advantage - advantage.mean()).flatten(1)
        kept = [estimates.reward_advantage, estimates.cost_advantage][place]
        torch.testing.assert_close(kept, centred / (centred.std(correction=0) + 1e-8) if place == 0 else centred)
    assert estimates.obs[0, :, 0].tolist() == obs.flatten().tolist()
    assert estimates.log_prob.equal(2 * estimates.obs[..., 0] + 2)


def test_minibatches_hold_every_row_once_in_the_order_asked_for():
    rows = torch.arange(7.0).view(1, 7)
    estimates = Estimates(rows.unsqueeze(-1), rows.unsqueeze(-1), *[rows] * 3, torch.stack([rows, -rows], -1))
    order = torch.tensor([[6, 0, 3, 2, 5, 1, 4]])
    parts = list(estimates.minibatches(order, 3))
    assert [part.log_prob[0].tolist() for part in parts] == [[6, 0, 3], [2, 5, 1], [4]]
    for part in parts:
        assert part.obs[0, :, 0].equal(part.log_prob[0]) and part.targets[0, :, 1].equal(-part.log_prob[0])
