"""make_vec against the safety-gymnasium release: one of its environments, and its own vector of processes.

A rival's turn is one whole episode, its reset included, of each of its environments, with random actions; times are per
step of one environment, so a vector of n on enough cores can take 1/n of a single environment's time.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from _timing import lines, quartiles, write

from pyslsac.envs import make_vec, safety_gymnasium

TASKS = (
    "SafetyHalfCheetahVelocity-v1",
    "SafetyAntVelocity-v1",
    "SafetyHumanoidVelocity-v1",
    "SafetyPointGoal1-v0",
    "SafetyCarGoal1-v0",
)


def vector_turn(venv, steps: int) -> float:
    """Seconds per environment step of a vector, ours or the release's."""
    low, high = venv.single_action_space.low, venv.single_action_space.high
    actions = np.random.default_rng(0).uniform(low, high, (steps, venv.num_envs, low.size)).astype(np.float32)
    start = time.perf_counter()
    venv.reset()
    for action in actions:
        venv.step(action)
    return (time.perf_counter() - start) / (steps * venv.num_envs)


def single_turn(env, steps: int) -> float:
    """The same of one environment of the release."""
    low, high = env.action_space.low, env.action_space.high
    actions = np.random.default_rng(0).uniform(low, high, (steps, low.size)).astype(np.float32)
    start = time.perf_counter()
    env.reset()
    for action in actions:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return (time.perf_counter() - start) / steps


def rivals(task: str, num_envs: int) -> tuple[dict[str, Callable[[int], float]], list]:
    """What takes turns, ours first, and what to close afterwards."""
    release = safety_gymnasium.load()
    many, one, here = make_vec(task, num_envs), make_vec(task, 1), make_vec(task, 1, workers=0)
    plain, theirs = release.make(task), release.vector.make(task, num_envs)
    return {
        f"make_vec, {num_envs} environments": lambda steps: vector_turn(many, steps),
        "make_vec, 1 environment": lambda steps: vector_turn(one, steps),
        "make_vec, 1 environment in this process": lambda steps: vector_turn(here, steps),
        "release, 1 environment": lambda steps: single_turn(plain, steps),
        f"release's vector, {num_envs} environments": lambda steps: vector_turn(theirs, steps),
    }, [many, one, here, plain, theirs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--num-envs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="few steps: does it run? Nothing is written")
    options = parser.parse_args()
    results = {}
    for task in options.tasks:
        turns, open_ones = rivals(task, options.num_envs)
        names, seconds = list(turns), {name: [] for name in turns}
        horizon = open_ones[0].spec_.horizon
        for number in range(2 if options.quick else options.rounds):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                seconds[name].append(turns[name](20 if options.quick else horizon))
        ours = seconds[names[0]]
        ratio = {n: quartiles([t / o for t, o in zip(seconds[n], ours, strict=True)]) for n in names[1:]}
        results[task] = {"us": {n: quartiles([1e6 * t for t in seconds[n]]) for n in names}, "ratio": ratio}
        print(*lines({task: results[task]}), sep="\n", flush=True)
        for name in names:
            print(f"  {name:<42}{1 / statistics.median(seconds[name]):>12,.0f} steps/s")
        for venv in open_ones:
            venv.close()
    if not options.quick:
        print("\nwritten:", write("envs", results, torch.device("cpu")))


if __name__ == "__main__":
    main()
