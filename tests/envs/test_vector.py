"""Vectors of environments: numbers do not depend on the workers, episodes end rightly, states come back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pyslsac.envs import VectorEnv, make_vec
from pyslsac.envs.single import Single, episode_seed
from tests.envs.tiny_task import HIGH, LOW, Tiny

NAME = "tests.envs.tiny_task:Tiny-v0"
N = 5


def actions(steps: int, n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, n, 2)).astype(np.float32)


def roll(venv: VectorEnv, path: np.ndarray) -> list[Any]:
    out = []
    for action in path:
        obs, reward, terminated, truncated, info = venv.step(action)
        out.append([obs, reward, terminated, truncated, info["cost"], info["final_obs"], info["_final_obs"]])
    return [np.stack(column) for column in zip(*out, strict=True)]


@pytest.fixture
def serial() -> VectorEnv:
    return make_vec(NAME, N, seed=3, workers=0)


def test_no_number_depends_on_the_workers(serial: VectorEnv) -> None:
    first, _ = serial.reset()
    wanted = roll(serial, actions(25))
    for workers in (1, 3):
        venv = make_vec(NAME, N, seed=3, workers=workers)
        np.testing.assert_array_equal(venv.reset()[0], first)
        for got, want in zip(roll(venv, actions(25)), wanted, strict=True):
            np.testing.assert_array_equal(got, want)
        venv.close()


def test_transitions_are_those_of_the_environment_alone(serial: VectorEnv) -> None:
    obs, _ = serial.reset()
    path = actions(40)
    singles = [Single(gymnasium.wrappers.TimeLimit(Tiny(), 7), "tiny") for _ in range(N)]
    episodes = [0] * N
    before = [env.reset(episode_seed(seed, 0)) for env, seed in zip(singles, serial._seeds, strict=True)]
    np.testing.assert_array_equal(obs, before)
    kinds = set()
    for action in path:
        obs, reward, terminated, truncated, info = serial.step(action)
        for i, env in enumerate(singles):
            alone = env.step(action[i])
            assert (reward[i], info["cost"][i]) == (alone.reward, alone.cost)
            assert (terminated[i], truncated[i]) == (alone.terminated, alone.truncated)
            np.testing.assert_array_equal(info["final_obs"][i], alone.obs)
            ended = alone.terminated or alone.truncated
            assert info["_final_obs"][i] == ended
            episodes[i] += ended
            kinds.add((alone.terminated, alone.truncated))
            now = env.reset(episode_seed(serial._seeds[i], episodes[i])) if ended else alone.obs
            np.testing.assert_array_equal(obs[i], now)
    assert kinds == {(False, False), (True, False), (False, True)}


def test_it_is_a_gymnasium_vector_env(serial: VectorEnv) -> None:
    assert isinstance(serial, gymnasium.vector.VectorEnv) and serial.num_envs == N
    obs, info = serial.reset(seed=1)
    assert serial.observation_space.contains(obs) and obs.dtype == np.float32 and isinstance(info, dict)
    assert serial.single_action_space == gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    assert serial.action_space.contains(serial.action_space.sample())
    assert (serial.spec_.obs_dim, serial.spec_.act_dim, serial.spec_.horizon) == (3, 2, 7)
    mode = getattr(gymnasium.vector, "AutoresetMode", None)
    assert serial.metadata == {"autoreset_mode": mode.SAME_STEP if mode else "SameStep"}
    assert serial.task_action_space == gymnasium.spaces.Box(LOW, HIGH)
    obs, reward, terminated, truncated, info = serial.step(serial.action_space.sample())
    for flags in (terminated, truncated, info["_final_obs"]):
        assert flags.shape == (N,) and flags.dtype == np.bool_
    assert reward.shape == info["cost"].shape == (N,) and info["final_obs"].shape == obs.shape == (N, 3)


def test_what_came_back_is_never_overwritten(serial: VectorEnv) -> None:
    serial.reset()
    kept = [serial.step(action)[0] for action in actions(3)]
    assert len({array.tobytes() for array in kept}) == 3


def test_seeds_and_resets(serial: VectorEnv) -> None:
    start = serial.reset()[0]
    later = serial.reset()[0]
    assert (start != later).any(1).all(), "a reset without a seed goes on to the next episode"
    np.testing.assert_array_equal(serial.reset(seed=3)[0], start)
    np.testing.assert_array_equal(serial.reset()[0], later)
    listed = make_vec(NAME, N, seed=serial._seeds, workers=0)
    np.testing.assert_array_equal(listed.reset()[0], start)
    alone = make_vec(NAME, 1, seed=serial._seeds[4:], workers=0)
    np.testing.assert_array_equal(alone.reset()[0][0], start[4])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_state_comes_back_in_a_new_vector(workers: int) -> None:
    venv = make_vec(NAME, N, seed=3, workers=workers)
    venv.reset()
    roll(venv, actions(23))
    state = venv.state_dict()
    assert len({len(past) for past in state["actions"]}) > 1 and max(state["episode"]) > 2
    wanted = roll(venv, actions(20, seed=1))
    venv.close()
    fresh = make_vec(NAME, N, seed=99, workers=workers)
    obs, came_back = fresh.load_state_dict(state)
    assert came_back.all()
    np.testing.assert_array_equal(obs, state["obs"])
    again = fresh.state_dict()
    assert (again["seed"], again["episode"]) == (state["seed"], state["episode"])
    assert all(map(np.array_equal, again["actions"], state["actions"]))
    for got, want in zip(roll(fresh, actions(20, seed=1)), wanted, strict=True):
        np.testing.assert_array_equal(got, want)
    fresh.close()


def test_what_does_not_come_back_begins_a_new_episode(serial: VectorEnv) -> None:
    serial.reset()
    roll(serial, actions(23))
    state = serial.state_dict()
    state["obs"][1, 0] = np.nextafter(state["obs"][1, 0], np.float32(9))
    state["actions"][3] = np.concatenate([state["actions"][3], actions(9, 1)[:, 0]])
    fresh = make_vec(NAME, N, workers=0)
    obs, came_back = fresh.load_state_dict(state)
    assert came_back.tolist() == [True, False, True, False, True]
    after = fresh.state_dict()
    assert [b - a for a, b in zip(state["episode"], after["episode"], strict=True)] == [0, 1, 0, 1, 0]
    assert [len(after["actions"][i]) for i in (1, 3)] == [0, 0]
    wanted = Single(Tiny(), "tiny", horizon=7).reset(episode_seed(state["seed"][1], after["episode"][1]))
    np.testing.assert_array_equal(obs[1], wanted)


def test_a_task_that_is_not_deterministic_does_not_come_back() -> None:
    venv = make_vec(Tiny, N, horizon=50, workers=0, shaky=True)
    venv.reset()
    roll(venv, actions(4))
    state = venv.state_dict()
    came_back = make_vec(Tiny, N, horizon=50, workers=0, shaky=True).load_state_dict(state)[1]
    assert came_back.tolist() == [len(past) == 0 for past in state["actions"]] and not came_back.all()


def test_misuse_is_told(serial: VectorEnv) -> None:
    with pytest.raises(RuntimeError, match="reset the environments before"):
        serial.step(actions(1)[0])
    serial.reset()
    with pytest.raises(RuntimeError, match="step_wait without step_async"):
        serial.step_wait()
    with pytest.raises(ValueError, match=r"got shape \(2,\), wanted \(5, 2\)"):
        serial.step_async(np.zeros(2))
    serial.step_async(actions(1)[0])
    for order in (serial.state_dict, serial.reset, lambda: serial.step_async(actions(1)[0])):
        with pytest.raises(RuntimeError, match="call step_wait first"):
            order()
    serial.step_wait()
    with pytest.raises(ValueError, match="its observations are"):
        serial.load_state_dict(make_vec(NAME, 2, workers=0).state_dict())
    serial.close()
    with pytest.raises(RuntimeError, match="closed"):
        serial.reset()


SCRIPT = """
import gymnasium, numpy as np, sys
from pyslsac.envs import make_vec
print("started")
class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))
    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}
    def step(self, action):
        return action, 1.0, False, False, {"cost": float("torch" in sys.modules)}
venv = make_vec(Mine, 2, horizon=9, workers=2)
venv.reset()
print(venv.step(np.float32([[0.5], [-1]]))[0].tolist(), venv.step(np.zeros((2, 1)))[4]["cost"].tolist())
print("torch" in sys.modules)
"""


def test_a_script_needs_no_main_guard_and_no_torch(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = Path(__file__).resolve().parents[2]
    run = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); sys.argv = ['script.py']"]
    run[-1] += "; import runpy; runpy.run_path('script.py', run_name='__main__')"
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:3] == ["started", "[[0.5], [-1.0]] [0.0, 0.0]", "False"], done.stderr
