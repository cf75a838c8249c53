"""What can be named, by which name, and what is said of the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pyslsac.envs import TaskError, list_tasks, make_vec, register
from tests.envs.tiny_task import Tiny

ROOT = Path(__file__).resolve().parents[2]


def first(task: Any, **options: Any) -> np.ndarray:
    return make_vec(task, 2, workers=0, seed=4, **options).reset()[0]


def test_one_task_by_four_names() -> None:
    by_class = first(Tiny, horizon=7)
    np.testing.assert_array_equal(first("tests.envs.tiny_task:Tiny-v0"), by_class)
    np.testing.assert_array_equal(first("Tiny-v0"), by_class)
    np.testing.assert_array_equal(first(lambda: Tiny(), horizon=7), by_class)
    np.testing.assert_array_equal(first("Tiny-v0", backend="gymnasium"), by_class)


def test_names_and_closures_reach_a_worker() -> None:
    shift = 0.5

    class Shifted(Tiny):
        def step(self, action: Any) -> Any:
            obs, *rest = super().step(action)
            return obs + shift, *rest

    for task, options in ((lambda **kwargs: Shifted(**kwargs), {"horizon": 7}), ("Tiny-v0", {})):
        results = []
        for workers in (0, 1):
            venv = make_vec(task, 2, workers=workers, **options)
            venv.reset()
            results.append(venv.step(np.zeros((2, 2)))[0])
            venv.close()
        np.testing.assert_array_equal(*results)


def test_the_constructor_gets_the_other_arguments() -> None:
    venv = make_vec("Tiny-v0", 1, workers=0, mishap="raise")
    venv.reset()
    with pytest.raises(ArithmeticError, match="the tiny world broke"):
        venv.step(np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("pyslsac/Bandid-v0", {}, r"no task 'pyslsac/Bandid-v0' \(close to it: pyslsac/Bandit-v0.*module:Id"),
        ("Tinny-v0", {"backend": "gymnasium"}, r"close to it: .*Tiny-v0"),
        ("Tiny-v0", {"backend": "safety-gymnasum"}, r"no backend 'safety-gymnasum' \(close to it: safety-gymnasium"),
        ("Tiny-v0", {"num_envs": 0}, "num_envs is 0"),
        ("Tiny-v0", {"workers": -1}, "workers is -1"),
    ],
)
def test_what_cannot_be_named_is_told_with_what_is_close(task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make_vec(task, **options)


def test_the_toys_are_gymnasium_tasks() -> None:
    register()
    env = gymnasium.make("pyslsac/LinearQuadratic-v0")
    env.reset(seed=0)
    *_, truncated, info = [env.step(np.zeros(2, np.float32)) for _ in range(10)][-1]
    assert truncated and "cost" in info


def test_the_toys_are_always_listed() -> None:
    listings = {listing.backend: listing for listing in list_tasks()}
    assert listings["gymnasium"].tasks == ["pyslsac/Bandit-v0", "pyslsac/LinearQuadratic-v0"]
    release = listings["safety-gymnasium"]
    assert ("SafetyPointGoal1-v0" in release.tasks) == (release.problem is None)
    assert release.problem is None or "pip install --no-deps safety-gymnasium==1.0.0" in release.problem


def test_importing_the_package_imports_neither_the_release_nor_torch() -> None:
    code = "import sys, pyslsac.envs.make; print({'torch', 'safety_gymnasium'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyslsac.envs import safety_gymnasium

    monkeypatch.setitem(sys.modules, "safety_gymnasium", None)
    safety_gymnasium.load.cache_clear()
    with pytest.raises(TaskError, match=r"cannot be imported .*pip install --no-deps safety-gymnasium==1.0.0"):
        make_vec("SafetyPointGoal1-v0", workers=0, backend="safety-gymnasium")
    safety_gymnasium.load.cache_clear()


@pytest.mark.parametrize("order", ["gymnasium, pyslsac", "pyslsac, gymnasium"])
def test_importing_pyslsac_makes_its_tasks_known_to_gymnasium(order: str) -> None:
    code = f"import {order}; print(gymnasium.make('pyslsac/SafetyPointGoal1-v0').reset(seed=0)[0].shape)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "(60,)" in answer.stdout, answer.stderr
