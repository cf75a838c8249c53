"""SAC-Lag's and SL-SAC's whole training loops, time per environment step, beside OmniSafe 0.5.0's SAC-Lag.

Ours in float32 and bfloat16, SAC-Lag also as four runs in lockstep. One environment, one update a step, SAC-Lag with
OmniSafe's settings, past the random steps and the multiplier's warm-up, without evaluations: acting, stepping, storing,
sampling, updating, and a row of the log an epoch. Each side trains in a process of its own, and they take turns epoch
by epoch. OmniSafe takes part where --omnisafe-python names the Python of an
environment that has it (docs/benchmarks.md); its environment is the safety-gymnasium release.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch
from _timing import RESULTS, show
from _turns import Side, Turns

import pyslsac
from pyslsac.experiments.bench import write
from pyslsac.experiments.timing import summary

TASK = "SafetyHalfCheetahVelocity-v1"
RUNS = 4
OMNISAFE = Path(__file__).parent / "with_omnisafe.py"
RANDOM, WARM = 1, 1  # epochs of random steps, and of updates before anything is timed


def train(settings: dict[str, Any]) -> None:
    """Ours, epoch by epoch as it is asked to."""
    turns = Turns()
    steps = settings["epoch"]
    changed = dict(start_steps=RANDOM * steps, steps_per_epoch=steps, multiplier_warmup=0)
    pyslsac.train(
        settings["algo"],
        settings["task"],
        steps=settings["epochs"] * steps,
        seeds=range(settings["runs"]),
        preset="omnisafe" if settings["algo"] == "sac-lag" else "paper",
        agent=changed | {"batch_size": settings["batch_size"], "precision": settings["precision"]},
        threads=settings["threads"],
        device="cpu",
        eval_every=0,
        checkpoint_every=settings["epochs"],
        out=settings["folder"],
        quiet=True,
        on_epoch=lambda columns: turns(),
    )


def omnisafe_version(python: Path) -> str:
    """The version that `python` imports, and what it computes with."""
    names = ("omnisafe", "torch", "mujoco")
    code = f"from importlib.metadata import version as v; print(*map(v, {names}))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return "OmniSafe {} (torch {}, MuJoCo {})".format(*found)


def sides(options: argparse.Namespace, folder: str) -> dict[str, tuple[list[str | Path], int]]:
    """Of every side: its command, and how many runs it trains."""
    epoch, rounds = (20, 2) if options.quick else (options.epoch, options.rounds)
    settings = dict(task=TASK, epoch=epoch, epochs=RANDOM + WARM + rounds + 1, threads=options.threads, folder=folder)
    settings |= dict(batch_size=32 if options.quick else 256, random=RANDOM * epoch)

    def ours(algo: str, precision: str = "fp32", runs: int = 1) -> tuple[list[str | Path], int]:
        own = settings | dict(algo=algo, precision=precision, runs=runs, folder=f"{folder}/{algo}-{precision}-{runs}")
        return [sys.executable, __file__, "--train", json.dumps(own)], runs

    found = {
        "sac-lag": ours("sac-lag"),
        "bf16": ours("sac-lag", "bf16"),
        f"{RUNS} runs in lockstep, a step of one": ours("sac-lag", runs=RUNS),
        "sl-sac": ours("sl-sac"),
        "sl-sac, bf16": ours("sl-sac", "bf16"),
    }
    if options.quick:
        del found["bf16"], found["sl-sac"], found["sl-sac, bf16"]
    if python := options.omnisafe_python:
        found[omnisafe_version(python)] = [python, OMNISAFE, "train", json.dumps(settings)], 1
    return found


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """The `summary` of the rounds, in which every side trains for an epoch."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        started = {}
        for name, (command, runs) in sides(options, folder).items():
            started[name] = stack.enter_context(closing(Side(command))), runs
            for _ in range(RANDOM + WARM):
                started[name][0].turn()
        times: dict[str, list[float]] = {name: [] for name in started}
        steps = 20 if options.quick else options.epoch
        for _ in range(2 if options.quick else options.rounds):
            for name, (side, runs) in started.items():
                times[name].append(side.turn() / (steps * runs))
    return summary(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--omnisafe-python", type=Path, metavar="PATH")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="on every side")
    parser.add_argument("--epoch", type=int, default=1_000, help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="few steps: does it run? Written only with --out")
    parser.add_argument("--out", type=Path, help="another file or folder than bench/results/<device>.json")
    parser.add_argument("--train", help=argparse.SUPPRESS)  # what a side of ours is started with
    options = parser.parse_args()
    if options.train:
        return train(json.loads(options.train))
    torch.set_num_threads(options.threads)  # what the file calls threads
    result = compare(options)
    case = f"{TASK}, threads {options.threads}"
    show(case, result)
    for name, us in result["us"].items():
        print(f"  {name:<48}{1e6 / us['median']:>8,.0f} steps/s")
    out = options.out or (RESULTS if options.omnisafe_python and not options.quick else None)
    if out is not None:
        print(f"\nwritten: {write(out, 'training', {case: result}, torch.device('cpu'))}")


if __name__ == "__main__":
    main()
