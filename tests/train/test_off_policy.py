"""The loop: its order, its lag of one vector step, what is stored, how many updates are due."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from pyslsac.data import Replay, Spec
from pyslsac.train.off_policy import OffPolicy

RUNS, ENVS, OBS, ACT = 2, 3, 2, 1
SPEC = Spec(OBS, ACT, horizon=4)


@dataclass(frozen=True)
class Config:
    start_steps: int = 0
    updates_per_step: float = 1
    batch_size: int = 4
    cost_limit: float = 1.0
    reward_scale: float = 2.0
    iteration_steps: int = 0
    cost_steps: int = 1


class Agent:
    """Writes down what it is asked, in order."""

    def __init__(self, config, story):
        self.config, self.story, self.spec = config, story, SPEC

    def observe(self, obs):
        self.story.append("observe")

    def act(self, obs, deterministic=False):
        self.story.append("act")
        return torch.full((*obs.shape[:2], ACT), 0.5)

    def update(self, batch):
        self.story.append("update")
        return {"Loss/Loss_pi": torch.zeros(batch.obs.shape[0])}

    def stored_cost(self, cost):
        return cost + 10

    def record_episode(self, run, cost):
        self.story.append(("episode", run, cost))

    def after_env_steps(self, count):
        self.story.append(("steps", count))


class Venv:
    """Environment i is at place 100 i + time; its episodes end at time 4, by the task's end when i is odd."""

    def __init__(self, story):
        self.story, self.count = story, RUNS * ENVS
        self.time, self.actions = np.zeros(self.count), []

    def obs(self, time):
        return (100 * np.arange(self.count) + time)[:, None].repeat(OBS, 1).astype(np.float32)

    def reset(self):
        return self.obs(self.time), {}

    def step_async(self, actions):
        self.story.append("start")
        self.actions.append(actions.copy())

    def step_wait(self):
        self.story.append("wait")
        final = self.obs(self.time + 1)
        ended = self.time + 1 == 4
        odd = np.arange(self.count) % 2 == 1
        self.time = np.where(ended, 0, self.time + 1)
        info = {"cost": np.ones(self.count), "final_obs": final}
        return self.obs(self.time), np.arange(self.count, dtype=float), ended & odd, ended & ~odd, info


def new_loop(*, faithful=False, **fields):
    story = []
    agent, replay = Agent(Config(**fields), story), Replay(SPEC, 100, RUNS, seeds=[5, 6])
    loop = OffPolicy(agent, replay, Venv(story), [5, 6], ENVS, eager=True, faithful=faithful)
    loop.reset()
    return loop, story


def test_order_and_lag():
    loop, story = new_loop()
    loop.step()
    assert story == ["observe", "act", "start", "wait", ("steps", ENVS)]  # an empty replay: nothing to learn from yet
    del story[:]
    loop.step()
    assert story == ["observe", "act", "start", *["update"] * ENVS, "wait", ("steps", ENVS)]
    assert loop.env_steps == 2 * ENVS and loop.updates == ENVS


def test_the_faithful_order_learns_from_every_step_at_once():
    loop, story = new_loop(faithful=True, start_steps=ENVS)
    loop.step()
    assert story == ["observe", "start", "wait", ("steps", ENVS)]  # a random step
    del story[:]
    loop.step()
    assert story == ["observe", "act", "start", "wait", ("steps", ENVS), *["update"] * ENVS]
    assert loop.env_steps == 2 * ENVS == loop.updates + ENVS and loop.clock.read()[0].keys() >= {"Time/Update"}


def test_faithful_iterations_hold_their_last_step():
    sizes = []
    for faithful in (False, True):
        loop, _ = new_loop(faithful=faithful, iteration_steps=2 * ENVS, batch_size=1)
        sweep, seen = loop.replay.sweep, []
        loop.replay.sweep = lambda *args, sweep=sweep, seen=seen, loop=loop: (
            seen.append((loop.env_steps, loop.replay.size)) or sweep(*args)
        )
        for _ in range(4):
            loop.step()
        sizes.append((seen, loop.updates))
    overlapped = [(2 * ENVS, 2 * ENVS)], 2 * ENVS  # as the next step runs
    assert sizes == [overlapped, ([(2 * ENVS, 2 * ENVS), (4 * ENVS, 4 * ENVS)], 6 * ENVS)]


def test_what_is_stored():
    loop, story = new_loop()
    for _ in range(4):
        loop.step()
    rows = loop.replay.rows[1, : 4 * ENVS].numpy()  # run 1 has environments 3, 4, 5
    assert rows[:ENVS, 0].tolist() == [300, 400, 500]
    assert rows[-ENVS:, 0].tolist() == [303, 403, 503]  # obs
    assert (rows[:, OBS] == 0.5).all()
    assert rows[-ENVS:, OBS + ACT].tolist() == [6, 8, 10]  # the reward, scaled
    assert (rows[:, OBS + ACT + 1] == 11).all()  # the cost as the agent wants it
    assert rows[-ENVS:, OBS + ACT + 2].tolist() == [304, 404, 504]  # the true next observation, not the reset's
    assert rows[-ENVS:, -2].tolist() == [1, 0, 1]  # ended by the task, not by time
    assert rows[-ENVS:, -1].tolist() == [1, 1, 1] and rows[-2 * ENVS : -ENVS, -1].tolist() == [0, 0, 0]
    assert [s for s in story if s[0] == "episode"] == [("episode", r, 4.0) for r in (0, 0, 0, 1, 1, 1)]
    assert loop.episodes.last_costs(0) == [4.0] * 3 and loop.episodes.over_limit.tolist() == [3, 3]


def test_random_actions_first():
    loop, story = new_loop(start_steps=2 * ENVS)
    for _ in range(3):
        loop.step()
    assert story.count("act") == 1 and story.count("update") == ENVS
    first, second, third = loop.venv.actions
    assert (third == 0.5).all() and len({*first.ravel(), *second.ravel()}) == 2 * RUNS * ENVS
    assert np.abs(first).max() <= 1
    alone = OffPolicy(loop.agent, Replay(SPEC, 100, 1, seeds=[6]), loop.venv, [6], ENVS, eager=True)
    np.testing.assert_array_equal(alone._random(6), new_loop()[0]._random(6))  # of seed and step alone
    np.testing.assert_array_equal(alone._random(6), first.reshape(RUNS, ENVS, ACT)[1])


@pytest.mark.parametrize(("rate", "expected"), [(1, 30), (2, 60), (0.5, 15), (0.1, 3), (0, 0)])
def test_updates_per_environment_step(rate, expected):
    loop, _ = new_loop(updates_per_step=rate, start_steps=ENVS)
    for _ in range(11):
        loop.step()
    assert loop.updates == expected


def test_iterations_take_a_pass_over_the_replay_each():
    loop, story = new_loop(iteration_steps=2 * ENVS, start_steps=4 * ENVS, batch_size=4)
    passes = []
    for _ in range(8):
        del story[:]
        loop.step()
        passes.append(story.count("update"))
    assert passes == [0, 0, 1, 0, 3, 0, 4, 0]  # 6, 12 and 18 rows in minibatches of 4, also while actions are random


def test_dropped_runs_idle():
    loop, _ = new_loop()
    loop.agent.select = lambda keep: loop.agent
    loop.step()
    loop.select([1])
    loop.step()
    assert loop.venv.actions[-1].ravel().tolist() == [0.0] * ENVS + [0.5] * ENVS
    assert loop.replay.rows[0, ENVS : 2 * ENVS, 0].tolist() == [301, 401, 501]
    assert loop.seeds == [6] and loop.episodes.running.shape == (1, ENVS, 3)
