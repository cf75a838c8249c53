"""make_vec's native environments against the bare physics of their models, and beside the safety-gymnasium release.

A round is one episode's length of steps in every environment, so that resets count in their proportion; its rivals take
turns piece by piece. Times are per step of one environment. The rivals of each section:

physics  ours, and what MuJoCo alone takes for the same: one mj_step of the task's sub-steps, for navigation tasks one
         mj_forward more, in the same kind of pool with as many threads. It follows our actions and our episodes; what
         is not timed: writing its controls, leading its gremlins (once a step), resetting. "Times as long" is thus the
         share of the bare rate that we reach.
growth   ours with other numbers of environments and threads.
release  for information: one environment of the release and its vector of processes, and both with our fix, which
         leaves the sky out of navigation's resets. Of these a round times a fifth of the steps, and one reset of all.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import mujoco
import numpy as np
import torch
from _timing import RESULTS, show

from pyslsac.envs import TaskError, make_vec, safety_gymnasium, spread_seed
from pyslsac.envs.native import tasks
from pyslsac.envs.native.simulation import Pool
from pyslsac.experiments.bench import write
from pyslsac.experiments.timing import summary

TASKS = (
    *tasks.VELOCITY,
    *(f"Safety{robot}{game}1-v0" for game in ("Goal", "Circle", "Button") for robot in ("Point", "Car")),
)
GROWING = ("SafetyHalfCheetahVelocity-v1", "SafetyHumanoidVelocity-v1", "SafetyPointGoal1-v0")
COUNTS = (1, 4, 16, 64)
SHARE = 5  # the release takes one step in so many of a round's
Turn = Callable[[int], float]  # steps -> seconds per step of one environment
Rivals = dict[str, Turn]


class Ours:
    """make_vec under random actions."""

    def __init__(self, task: str, num_envs: int, threads: int) -> None:
        self.venv = make_vec(task, num_envs, backend="native", workers=threads)
        self.shape = (num_envs, self.venv.single_action_space.low.size)
        self.random = np.random.default_rng(0)
        self.venv.reset(seed=0)

    def turn(self, steps: int) -> float:
        """What it did stands in `actions` [T, n, A] and `ended` [T] of [n]."""
        self.actions = self.random.uniform(-1, 1, (steps, *self.shape)).astype(np.float32)
        self.ended = []
        start = time.perf_counter()
        for action in self.actions:
            *_, info = self.venv.step(action)
            self.ended.append(info["_final_obs"])
        return (time.perf_counter() - start) / (steps * self.shape[0])

    def close(self) -> None:
        self.venv.close()


class Physics:
    """MuJoCo alone, through the last turn of `ours` again."""

    def __init__(self, task: str, ours: Ours, threads: int) -> None:
        n = ours.shape[0]
        self.ours, self.fleet = ours, tasks.make(task, n)
        self.seeds, self.episodes = spread_seed(0, n), np.zeros(n, np.int64)
        low, high = self.fleet.act_low.astype(np.float64), self.fleet.act_high.astype(np.float64)
        self.middle, self.reach = (low + high) / 2, (high - low) / 2
        self.ctrl, self.path = self.fleet.field("ctrl"), getattr(getattr(self.fleet, "physics", None), "path", None)
        self.pool = Pool(self._forwarded if task in tasks.NAVIGATION else self._stepped, n, threads)
        self.fleet.reset(range(n), self.seeds, self.episodes)

    def turn(self, steps: int) -> float:
        seconds = 0.0
        for action, ended in zip(self.ours.actions, self.ours.ended, strict=True):
            self.ctrl.write((self.middle + self.reach * action).astype(self.fleet.act_type))
            if self.path is not None:
                for data in self.fleet.datas:
                    data.mocap_pos[:] = self.path[round(data.time / self.fleet.timestep), :3]
            start = time.perf_counter()
            self.pool.run()
            seconds += time.perf_counter() - start
            rows = np.flatnonzero(ended)
            if rows.size:
                self.episodes[rows] += 1
                self.fleet.reset(rows, [self.seeds[row] for row in rows], self.episodes[rows])
        return seconds / (steps * self.fleet.n)

    def _stepped(self, first: int, last: int) -> None:
        for i in range(first, last):
            mujoco.mj_step(self.fleet.models[i], self.fleet.datas[i], self.fleet.frame_skip)

    def _forwarded(self, first: int, last: int) -> None:
        for i in range(first, last):
            mujoco.mj_step(self.fleet.models[i], self.fleet.datas[i], self.fleet.frame_skip)
            mujoco.mj_forward(self.fleet.models[i], self.fleet.datas[i])

    def close(self) -> None:
        self.pool.close()
        self.fleet.close()


class Release:
    """One environment, or a vector of them, that takes a fifth of the steps and one reset."""

    def __init__(self, env, num_envs: int = 0) -> None:
        self.env, self.n, self.shape = env, max(1, num_envs), (num_envs,) if num_envs else ()
        space = env.single_action_space if num_envs else env.action_space
        self.low, self.high, self.seed = space.low, space.high, 0
        self._reset()  # the first of all takes longer

    def turn(self, steps: int) -> float:
        taken = -(-steps // SHARE)
        shape = (taken, *self.shape, self.low.size)
        actions = np.random.default_rng(0).uniform(self.low, self.high, shape).astype(np.float32)
        start = time.perf_counter()
        self._reset()
        reset = time.perf_counter() - start
        start = time.perf_counter()
        for action in actions:
            answer = self.env.step(action)
            if not self.shape and (answer[-3] or answer[-2]):  # a vector resets by itself
                self._reset()
        stepping = time.perf_counter() - start
        return (stepping / taken + reset / steps) / self.n

    def _reset(self) -> None:
        """The next layout; a single environment of the release stops in an AssertionError at some."""
        for _ in range(100):
            self.seed += 1
            try:
                self.env.reset(seed=1000 * self.seed)
                return
            except AssertionError:
                if self.shape:
                    raise
        raise RuntimeError("the release refused 100 layouts in a row")

    def close(self) -> None:
        self.env.close()


def physics(task: str, num_envs: int, threads: int) -> tuple[Rivals, list]:
    ours = Ours(task, num_envs, threads)
    bare = Physics(task, ours, threads)
    return {"make_vec": ours.turn, "bare physics": bare.turn}, [ours, bare]


def growth(task: str, num_envs: int, threads: int, counts: Sequence[int]) -> tuple[Rivals, list]:
    """Ours first, then every other count with one thread and with `threads`."""
    sizes = {(num_envs, threads): None} | {(n, t): None for n in counts for t in (1, threads) if t <= n}
    many = {f"num_envs {n}, threads {t}": Ours(task, n, t) for n, t in sizes}
    return {name: ours.turn for name, ours in many.items()}, list(many.values())


def release(task: str, num_envs: int, threads: int) -> tuple[Rivals, list]:
    package = safety_gymnasium.load()
    fixed = make_vec(task, num_envs, backend="safety-gymnasium", workers=threads)
    theirs = {
        "release, 1 environment": Release(package.make(task)),
        "the same, fixed": Release(safety_gymnasium.make(task)),
        f"release's vector, {num_envs} processes": Release(package.vector.make(task, num_envs), num_envs),
        f"the same, fixed, {threads} processes of ours": Release(fixed, num_envs),
    }
    if task not in tasks.NAVIGATION:  # nothing to fix
        theirs.pop("the same, fixed").close()
    ours = Ours(task, num_envs, threads)
    rivals = {"make_vec": ours.turn} | {name: rival.turn for name, rival in theirs.items()}
    return rivals, [ours, *theirs.values()]


def compare(rivals: Rivals, horizon: int, pieces: int, rounds: int) -> dict[str, dict]:
    """The `summary` of the rounds."""
    times = {name: [] for name in rivals}
    for _ in range(rounds):
        sums = dict.fromkeys(rivals, 0.0)
        for _ in range(pieces):
            for name, turn in rivals.items():
                sums[name] += turn(horizon // pieces) / pieces
        for name, total in sums.items():
            times[name].append(total)
    return summary(times)


def cases(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, dict]]]:
    """(case, result), section by section."""
    n, threads, quick = options.num_envs, options.threads, options.quick
    counts = (1, n) if quick else COUNTS
    sections = {  # how to begin, tasks, pieces of a round, rounds
        "physics": (lambda task: physics(task, n, threads), TASKS, 5, options.rounds),
        "growth": (lambda task: growth(task, n, threads, counts), GROWING, 5, 3),
        "release": (lambda task: release(task, n, threads), TASKS, 1, 3),
    }
    for section in options.sections:
        begin, chosen, pieces, rounds = sections[section]
        for task in (task for task in chosen if task in options.tasks):
            try:
                rivals, open_ones = begin(task)
            except TaskError as error:
                print(f"\n{section}, {task}: left out: {error}")
                continue
            horizon = 20 if quick else tasks.STEPS[task]
            case = f"{section}: {task}, num_envs {n}, threads {threads}"
            yield case, compare(rivals, horizon, pieces, 2 if quick else rounds)
            for one in open_ones:
                one.close()
            del rivals, open_ones, one  # MuJoCo 2.3.3 reserves so much memory for each environment that forks may fail


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = ("physics", "growth", "release")
    parser.add_argument("--sections", nargs="+", choices=sections, default=sections)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK", help="of the twelve")
    parser.add_argument("--num-envs", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7, help="of the first section; the others have 3")
    parser.add_argument("--quick", action="store_true", help="few steps: does it run? Written only with --out")
    parser.add_argument("--out", type=Path, help="another file or folder than bench/results/<device>.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)  # what the file calls threads
    whole = not options.quick and set(options.sections) == set(sections) and set(options.tasks) == set(TASKS)
    out = options.out or (RESULTS if whole else None)
    results = {}
    for case, result in cases(options):
        results[case] = result
        show(case, result)
        for name, us in result["us"].items():
            print(f"  {name:<42}{1e6 / us['median']:>12,.0f} steps/s", flush=True)
        if out is not None:  # after each case: a run takes long
            path = write(out, "envs", results, torch.device("cpu"))
    shares = [result["ratio"]["bare physics"]["median"] for case, result in results.items() if "physics" in case]
    if shares:
        print(f"\nof the bare physics' rate: {min(shares):.0%} or more, median {statistics.median(shares):.0%}")
    print(f"\nwritten: {path}" if out else "\nnothing is written but by a run of everything, or with --out")


if __name__ == "__main__":
    main()
