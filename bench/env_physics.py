"""What fixed policies return and cost with the installed mujoco: bench/results/physics/<its version>.json.

Versions of MuJoCo differ in their last digits or in more; how much that matters to a task is seen here, over 100 whole
episodes whose seeds are the same for every version. Two policies a task, both made of numbers alone:

uniform   actions drawn evenly from [-1, 1], the same ones at the same steps of the same episodes
scripted  a walker's actuator j takes 0.5 sin(2π t / period + j π / 2) at step t; in the navigation worlds a robot
          turns to the goal (or along the circle) as its lidar shows it, and drives there whatever lies between

Intervals hold the mean with 95 %: percentiles of 10,000 bootstrap samples of the episodes. These are kept too, in one
order, so that two versions can be compared episode by episode. Neither torch nor safety-gymnasium is imported.
"""

import argparse
import json
import os
import re
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pyslsac.envs import make_vec
from pyslsac.envs.native import tasks

RESULTS = Path(__file__).parent / "results" / "physics"
TASKS = (
    *tasks.VELOCITY,
    *(f"Safety{robot}{game}1-v0" for game in ("Goal", "Circle", "Button") for robot in ("Point", "Car")),
)
EPISODES, NUM_ENVS = 100, 50
PERIOD = {"SafetySwimmerVelocity-v1": 40}  # steps; the others' is
SHORT = 10
BINS = 16
FORCE = 0.05, 0.02  # at which Point's motor and Car's two are at their limit
Policy = Callable[[Any, int], Any]  # obs [n, S], t -> actions [n, A]


def uniform(shape: tuple[int, int], seed: int) -> Policy:
    random = np.random.default_rng(seed)
    return lambda obs, t: random.uniform(-1, 1, shape)


def gait(task: str, shape: tuple[int, int]) -> Policy:
    period, phases = PERIOD.get(task, SHORT), np.arange(shape[1]) * np.pi / 2
    return lambda obs, t: np.broadcast_to(0.5 * np.sin(2 * np.pi * t / period + phases), shape)


def drive(task: str) -> Policy:
    """Point looks along x and has a motor and a turning speed; Car drives along y on two wheels that pull backwards."""
    robot, game, _ = tasks.NAVIGATION[task]
    car = robot == "Car"
    first = (24 if car else 12) + BINS * (game == "Button")  # whose goal's lidar comes second
    directions = np.exp(2j * np.pi * (np.arange(BINS) + 0.5) / BINS)

    def policy(obs: Any, t: int) -> Any:
        lidar, speed, spin = obs[:, first : first + BINS], obs[:, 3 + car], obs[:, 8]
        bearing = np.angle(lidar @ directions) - car * np.pi / 2  # of the goal, from ahead to the left
        if game == "Circle":  # keep the centre to the left, nearer ahead the further it is
            distance = 6.0 * (1 - lidar.max(axis=1))
            bearing -= np.clip(np.pi / 2 - (distance - 1.5), 0, np.pi)
        bearing = (bearing + np.pi) % (2 * np.pi) - np.pi
        ahead = np.maximum(np.cos(bearing), 0) - 0.5 * speed
        turn = bearing - 0.2 * spin
        action = FORCE[1] * np.stack([turn - ahead, -turn - ahead]) if car else np.stack([FORCE[0] * ahead, turn])
        return np.clip(action.T, -1, 1)

    return policy


def policies(task: str, shape: tuple[int, int], seed: int) -> dict[str, Policy]:
    return {"uniform": uniform(shape, seed), "scripted": gait(task, shape) if task in tasks.VELOCITY else drive(task)}


def live(venv: Any, policy: Policy, seed: int) -> Any:
    """[3, n] return, cost and length of each environment's episode 0 under `seed`."""
    obs, _ = venv.reset(seed=seed)
    totals, running = np.zeros((3, venv.num_envs)), np.ones(venv.num_envs, np.bool_)
    for t in range(venv.spec_.horizon):
        obs, reward, terminated, truncated, info = venv.step(policy(obs, t))
        totals += running * np.stack([reward, info["cost"], np.ones(venv.num_envs)])
        running &= ~(terminated | truncated)
        if not running.any():
            break
    return totals


def summary(values: Any) -> dict[str, Any]:
    """The mean of values [n], the ends of its 95 % bootstrap interval, and the values."""
    chosen = np.random.default_rng(0).integers(values.size, size=(10_000, values.size))
    low, high = np.quantile(values[chosen].mean(axis=1), (0.025, 0.975))
    return {"mean": values.mean(), "low": low, "high": high, "episodes": values.tolist()}


def measure(task: str, threads: int | None, quick: bool) -> dict[str, dict]:
    """{policy: {"return": summary, "cost": summary, "steps": mean}}."""
    n, batches = (2, 2) if quick else (NUM_ENVS, EPISODES // NUM_ENVS)
    found = {}
    with make_vec(task, n, backend="native", workers=threads, horizon=20 if quick else None) as venv:
        shape = (n, venv.spec_.act_dim)
        for name in policies(task, shape, 0):
            start = time.perf_counter()
            runs = [live(venv, policies(task, shape, seed)[name], seed) for seed in range(batches)]
            rewards, costs, steps = np.concatenate(runs, axis=1)
            parts = {"return": summary(rewards), "cost": summary(costs)}
            found[name] = {**parts, "steps": steps.mean()}
            texts = (f"{k} {part['mean']:.4g} ({part['low']:.4g} .. {part['high']:.4g})" for k, part in parts.items())
            seconds = time.perf_counter() - start
            print(f"{task:<30}{name:<10}{'  '.join(texts)}  {steps.mean():.0f} steps  {seconds:.1f} s", flush=True)
    return found


def write(found: dict[str, dict]) -> Path:
    """Put tasks into the version's file, beside those that the same versions of everything else have left there."""
    versions = {name: version(name) for name in ("mujoco", "gymnasium", "numpy")}
    path = RESULTS / f"{versions['mujoco']}.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if kept.get("versions") != versions:
        kept = {"versions": versions, "tasks": {}}
    measured = kept["tasks"] | found
    kept["tasks"] = {task: measured[task] for task in TASKS if task in measured}
    rounded = json.loads(json.dumps(kept), parse_float=lambda text: float(f"{float(text):.6g}"))
    text = re.sub(r"\[[^][]*\]", lambda numbers: " ".join(numbers[0].split()), json.dumps(rounded, indent=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(text + "\n", "utf-8")
    fresh.replace(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK", help="of the twelve")
    parser.add_argument("--threads", type=int, help="default: one for each core; no number depends on it")
    parser.add_argument("--quick", action="store_true", help="few and short: does it run? Nothing is written")
    options = parser.parse_args()
    for task in options.tasks:
        found = measure(task, options.threads, options.quick)
        if not options.quick:
            path = write({task: found})
    if not options.quick:
        print("written:", path)


if __name__ == "__main__":
    main()
