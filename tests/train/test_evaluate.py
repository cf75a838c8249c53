"""Evaluation: how many episodes, of which environments, and what is said of them."""

import numpy as np
import pytest
import torch

from pyslsac.train.evaluate import EVALUATION, TRAINING, env_seeds, evaluate, summarise


class Venv:
    """Environment i's episodes last 1 + i % 3 steps; each step earns i and costs 1."""

    def __init__(self, count, seeds):
        self.count, self.seeds, self.closed = count, seeds, False
        self.lengths = 1 + np.arange(count) % 3

    def reset(self):
        self.time = np.zeros(self.count, int)
        return np.zeros((self.count, 2), np.float32), {}

    def step(self, actions):
        assert actions.shape == (self.count, 1)
        self.time += 1
        ended = self.time == self.lengths
        self.time[ended] = 0
        obs, never = np.zeros((self.count, 2), np.float32), np.zeros(self.count, bool)
        return obs, np.arange(self.count, dtype=float), never, ended, {"cost": np.ones(self.count)}

    def close(self):
        self.closed = True


class Agent:
    def act(self, obs, deterministic):
        assert deterministic
        return torch.zeros(*obs.shape[:2], 1)


def play(episodes, seeds=(3, 4), occasion=0):
    made = []

    def make(count, env_seeds):
        made.append(Venv(count, env_seeds))
        return made[-1]

    result = evaluate(Agent(), make, seeds, episodes, occasion=occasion)
    assert made[0].closed
    return result, made[0]


def test_each_environment_plays_its_share_whatever_its_length():
    result, venv = play(23)
    assert result.shape == (2, 23, 3) and venv.count == 20
    for run in range(2):
        envs = [env for env in range(10) for _ in range(3 if env < 3 else 2)]
        assert result[run, :, 2].tolist() == [1 + (10 * run + env) % 3 for env in envs]
        assert result[run, :, 1].tolist() == result[run, :, 2].tolist()
        assert result[run, :, 0].tolist() == [(10 * run + e) * (1 + (10 * run + e) % 3) for e in envs]


def test_fewer_episodes_than_environments():
    result, venv = play(2)
    assert result.shape == (2, 2, 3) and venv.count == 4


def test_seeds_are_of_the_run_the_purpose_and_the_occasion():
    _, both = play(4)
    _, alone = play(4, seeds=(4,))
    _, later = play(4, occasion=2000)
    assert both.seeds[4:] == alone.seeds and not set(both.seeds) & set(later.seeds)
    assert not set(env_seeds(3, 50, TRAINING)) & set(env_seeds(3, 50, EVALUATION))


def test_summary():
    episodes = np.array([[1.0, 0.0, 10], [2.0, 4.0, 10], [3.0, 2.0, 10], [6.0, 10.0, 10]])
    summary = summarise(episodes, risk_level=0.5)
    assert summary["count"] == 4 and summary["return"]["mean"] == 3.0
    assert summary["return"]["std"] == pytest.approx(np.sqrt(14 / 3))
    assert summary["return"]["stderr"] == pytest.approx(np.sqrt(14 / 3) / 2)
    assert summary["cost"]["cvar"] == 7.0 and summary["cost"]["risk_level"] == 0.5
    assert summary["episodes"][3] == {"return": 6.0, "cost": 10.0, "length": 10.0}
    assert summarise(episodes[:1], 1.0)["cost"] == {
        "mean": 0.0,
        "std": 0.0,
        "stderr": 0.0,
        "cvar": 0.0,
        "risk_level": 1.0,
    }
