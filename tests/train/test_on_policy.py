"""The on-policy loop: its order, when it learns, what it stores and hands to the agent; and whole runs that stop."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from pyslsac.data import Replay
from pyslsac.train.on_policy import OnPolicy
from tests.train.test_off_policy import ACT, ENVS, OBS, SPEC, Venv


@dataclass(frozen=True)
class Config:
    steps_per_epoch: int = 2 * ENVS
    cost_limit: float = 1.0


class Agent:
    """Writes down what it is asked, in order; sees observations halved and draws actions outside the box."""

    def __init__(self, config, story):
        self.config, self.story, self.spec = config, story, SPEC
        self.rollouts = []

    def observe(self, obs):
        self.story.append("observe")

    def normalized(self, obs):
        return obs / 2

    def sample(self, obs):
        self.story.append("sample")
        assert float(obs.max()) < 110  # normalised: unseen they go from 0 to 203
        return torch.full((*obs.shape[:2], ACT), 1.5)

    def update(self, rollout):
        self.story.append("update")
        self.rollouts.append(rollout)
        return {"Loss/Loss_pi": torch.zeros(1)}

    def record_episode(self, run, cost):
        self.story.append(("episode", run, cost))

    def after_env_steps(self, count):
        self.story.append(("steps", count))

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class OneRun(Venv):
    """The environments of one run."""

    def __init__(self, story, envs=ENVS):
        super().__init__(story)
        self.count = envs
        self.time = np.zeros(envs)

    def state_dict(self):
        return {"seed": [0] * self.count}

    def load_state_dict(self, state):
        return self.obs(self.time), np.array([True, False, True])


def new_loop(envs=ENVS, capacity=3 * ENVS, **fields):
    story = []
    replay = Replay(SPEC, capacity, 1, seeds=[5])
    loop = OnPolicy(Agent(Config(**fields), story), replay, OneRun(story, envs), [5], envs)
    loop.reset()
    return loop, story


def test_order():
    loop, story = new_loop()
    loop.step()
    assert story == ["observe", "sample", "start", "wait", ("steps", ENVS)]
    del story[:]
    loop.step()
    assert story == ["observe", "sample", "start", "wait", ("steps", ENVS), "update"]
    assert loop.env_steps == 2 * ENVS and loop.updates == 1 and loop.collected == 0


def test_a_rollout_is_what_was_seen_and_drawn():
    loop, story = new_loop()
    for _ in range(4):
        loop.step()
    first, second = loop.agent.rollouts
    assert first.obs[0, :, :, 0].tolist() == [[0, 50, 100], [0.5, 50.5, 100.5]]
    assert second.obs[0, 1, :, 0].tolist() == [1.5, 51.5, 101.5]
    assert second.next_obs[0, 1, :, 0].tolist() == [2, 52, 102]  # the true one, not that of the reset
    assert (second.action == 1.5).all() and all((action == 1).all() for action in loop.venv.actions)  # clipped
    assert second.reward[0].tolist() == [[0, 1, 2]] * 2 and (second.cost == 1).all()
    assert second.ended[0].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert second.terminated[0].tolist() == [[0, 0, 0], [0, 1, 0]]  # the others' time was up
    assert [s for s in story if s[0] == "episode"] == [("episode", 0, 4.0)] * ENVS
    assert second.obs.shape == (1, 2, ENVS, OBS)


@pytest.mark.parametrize(("envs", "length", "expected"), [(3, 7, [3, 2, 2, 3]), (3, 2, [1] * 10), (1, 4, [4, 4])])
def test_rollouts_end_with_the_vector_step_that_completes_them(envs, length, expected):
    loop, _ = new_loop(envs, capacity=length + envs, steps_per_epoch=length)
    loop.agent.normalized = lambda obs: obs / 1000
    for _ in range(10):
        loop.step()
    assert [rollout.obs.shape[1] for rollout in loop.agent.rollouts] == expected


def test_a_nan_action_is_not_taken_and_reported():
    loop, _ = new_loop()
    loop.agent.sample = lambda obs: torch.full((1, ENVS, ACT), torch.nan)
    loop.step()
    assert (loop.venv.actions[0] == 0).all() and loop.bad_runs() == {0: ["action"]}


def test_other_environments_begin_a_rollout_anew():
    loop, _ = new_loop()
    loop.step()
    state = loop.state_dict()
    again, _ = new_loop()
    again.load_state_dict(state)
    assert again.collected == 1
    again.load_env_states([{"seed": [0] * (ENVS + 1)}])
    assert again.collected == 0


def test_an_environment_that_did_not_come_back_ends_its_episode():
    loop, _ = new_loop()
    loop.step()
    assert loop.load_env_states([{"seed": [0] * ENVS}]) == [1]
    loop.step()
    assert loop.agent.rollouts[0].ended[0].tolist() == [[0, 1, 0], [0, 0, 0]]
