"""The ring of transitions: what goes in comes out, whatever the order, the runs beside it, or a restart."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyslsac.data import Batch, Replay, Spec

SPEC = Spec(obs_dim=2, act_dim=1, horizon=5)


def transitions(runs: int, count: int, first: int = 0) -> dict[str, torch.Tensor]:
    """Transitions whose every number tells the run and its place in time."""
    time = torch.arange(first, first + count).float().expand(runs, count) + 1000.0 * torch.arange(runs).view(-1, 1)
    wide = time.unsqueeze(-1)
    return {
        "obs": torch.cat([wide, -wide], -1),
        "action": wide / 1e4,
        "reward": time + 0.25,
        "cost": time + 0.5,
        "next_obs": torch.cat([wide + 1, -wide - 1], -1),
        "terminated": (time % 3 == 0).float(),
    }


def filled(runs: int = 2, count: int = 7, capacity: int = 10, seeds: tuple[int, ...] = (3, 4)) -> Replay:
    replay = Replay(SPEC, capacity, runs, seeds=seeds[:runs])
    replay.add(**transitions(runs, count))
    return replay


def test_a_row_stays_together():
    batch = filled().sample(64)
    time = batch.obs[..., 0]
    torch.testing.assert_close(batch.obs[..., 1], -time)
    torch.testing.assert_close(batch.next_obs[..., 0], time + 1)
    torch.testing.assert_close(batch.reward, time + 0.25)
    torch.testing.assert_close(batch.cost, time + 0.5)
    torch.testing.assert_close(batch.terminated, (time % 3 == 0).float())
    torch.testing.assert_close(batch.action[..., 0], time / 1e4)
    assert (time[0] < 1000).all() and (time[1] >= 1000).all()


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=8), capacity=st.integers(1, 12))
def test_the_ring_holds_the_newest(counts, capacity):
    replay = Replay(SPEC, capacity, 1, seeds=[0])
    total = 0
    for count in counts:
        replay.add(**transitions(1, count, first=total))
        total += count
    held = replay.state_dict()["rows"][0, :, 0]
    assert replay.size == min(total, capacity)
    assert held.tolist() == list(range(max(0, total - capacity), total))


def test_draws_are_uniform_and_seeded():
    replay = Replay(SPEC, 8, 2, seeds=[1, 2])
    replay.add(**transitions(2, 8))
    drawn = torch.cat([replay.sample(512).obs[..., 0] for _ in range(20)], 1)  # [R, 10240]
    for run in range(2):
        counts = torch.bincount((drawn[run] - 1000 * run).long(), minlength=8)
        chi_square = ((counts - 1280.0) ** 2 / 1280.0).sum().item()
        assert chi_square < 24.3  # 99.9 % point at 7 degrees of freedom
    assert not torch.equal(drawn[0], drawn[1] - 1000)


def test_a_run_draws_the_same_alone_and_after_a_selection():
    both, alone = filled(), filled(runs=1)
    first = both.sample(16)
    torch.testing.assert_close(alone.sample(16).obs, first.obs[:1])
    second = both.select([1])
    torch.testing.assert_close(second.sample(16).obs, both.sample(16).obs[1:])


def test_seeds_are_64_bits():
    draws = [filled(runs=1, seeds=(seed,)).sample(64).obs for seed in (2**64 - 1, -1, 2**63 - 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_segments_bring_everything_back():
    replay = Replay(SPEC, 10, 2, seeds=[3, 4])
    states, saved = [], 0
    for count in (4, 5, 6):
        replay.add(**transitions(2, count, first=replay.added))
        replay.sample(3)
        states.append(replay.state_dict(since=saved))
        saved = replay.added
    assert [state["rows"].shape[1] for state in states] == [4, 5, 6]
    other = Replay(SPEC, 10, 2, seeds=[3, 4])
    for state in states:
        other.load_state_dict(state)
    torch.testing.assert_close(other.rows, replay.rows)
    torch.testing.assert_close(other.sample(32).obs, replay.sample(32).obs)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="capacity"):
        Replay(SPEC, 0)
    with pytest.raises(ValueError, match="one seed per run"):
        Replay(SPEC, 5, 2, seeds=[1])
    with pytest.raises(RuntimeError, match="empty"):
        Replay(SPEC, 5).sample(1)
    with pytest.raises(ValueError, match="wanted \\[2, n, 9\\]"):
        filled().add(**transitions(1, 3))
    with pytest.raises(ValueError, match="another task or other runs"):
        filled().load_state_dict(filled(runs=1).state_dict())
    with pytest.raises(ValueError, match=r"Batch.cost: got shape \[1, 3\]"):
        Batch(*(torch.zeros(shape) for shape in ((1, 2, 2), (1, 2, 1), (1, 2), (1, 3), (1, 2, 2), (1, 2))))
    with pytest.raises(ValueError, match="act_dim"):
        Spec(3, 0)


def test_numpy_goes_in_as_it_is():
    replay = Replay(SPEC, 4, 1, seeds=[0])
    values = {name: value.double().numpy() for name, value in transitions(1, 2).items()}
    replay.add(**values | {"terminated": np.array([[True, False]])})
    assert replay.state_dict()["rows"][0, :, -1].tolist() == [1.0, 0.0]


def test_a_pass_takes_every_row_once_and_leaves_out_a_rest():
    replay = filled(count=10)
    seen = torch.cat([batch.obs[..., 0] for batch in map(replay.batch, replay.sweep(3))], dim=1)  # [R, 9]
    assert seen.shape == (2, 9) and all(len(set(run.tolist())) == 9 for run in seen)
    again = torch.cat([batch.obs[..., 0] for batch in map(replay.batch, replay.sweep(3))], dim=1)
    assert not torch.equal(seen, again) and replay.draws == 2
    assert [places.shape[1] for places in replay.sweep(64)] == [10]


def test_costs_of_several_steps_end_with_the_episode_the_replay_and_the_end_of_the_ring():
    """Two environments in turn; numbers tell the transition; environment 0's episode ends at 4, 1's at 7."""
    replay = Replay(SPEC, 12, 1, seeds=[3])
    for first in range(0, 16, 2):  # 16 transitions in a ring of 12: the first four are gone
        rows = transitions(1, 2, first)
        ended = torch.tensor([[float(first == 4), float(first + 1 == 7)]])
        replay.add(**rows | {"terminated": torch.tensor([[0.0, float(first + 1 == 7)]]), "ended": ended})
    batch = replay.sample(400, cost_steps=3)
    seen = {}
    for row in range(400):
        number = int(batch.obs[0, row, 0])
        seen[number] = [int(c - 0.5) if c else None for c in batch.costs[0, row].tolist()], int(batch.steps[0, row])
        last = number + 2 * (seen[number][1] - 1)
        assert batch.tail_obs[0, row, 0] == last + 1 and batch.tail_terminated[0, row] == float(last == 7)
    assert seen[4] == ([4, None, None], 1) and seen[5] == ([5, 7, None], 2) and seen[6] == ([6, 8, 10], 3)
    assert seen[7] == ([7, None, None], 1) and seen[11] == ([11, 13, 15], 3) and seen[14] == ([14, None, None], 1)
    assert seen[12] == ([12, 14, None], 2) and sorted(seen) == list(range(4, 16))
    tail = batch.tail(0.5)
    first = torch.nonzero(batch.obs[0, :, 0] == 6)[0, 0]
    assert tail.cost[0, first].item() == 6.5 + 8.5 / 2 + 10.5 / 4 and tail.discount[0, first].item() == 0.125


def test_one_step_tails_are_the_transitions_own():
    batch = filled().sample(5)
    tail = batch.tail(0.9)
    assert tail.cost is batch.cost and tail.obs is batch.next_obs and tail.terminated is batch.terminated
    assert (tail.discount == 0.9).all()


def test_a_cut_ends_the_newest_episodes():
    replay = Replay(SPEC, 8, 1, seeds=[0])
    for first in (0, 2):
        replay.add(**transitions(1, 2, first) | {"terminated": torch.zeros(1, 2)})
        if first == 0:
            replay.cut([[True, False]])
    batch = replay.sample(200, cost_steps=2)
    steps = {int(n): int(s) for n, s in zip(batch.obs[0, :, 0], batch.steps[0], strict=True)}
    assert steps == {0: 1, 1: 2, 2: 1, 3: 1}
