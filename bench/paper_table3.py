"""Hours for a million environment steps of every algorithm here, beside the SL-SAC paper's Table 3 (one V100).

Each algorithm trains one run for a few short epochs, with the paper's settings where the table has it and with `step`
elsewhere, and without evaluations. The first epochs, of random steps and of recording, are not counted; the median of
the others stands for the million.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import pyslsac
from pyslsac.agents import AGENTS, OffPolicyConfig
from pyslsac.experiments.bench import write
from pyslsac.experiments.timing import summary

HOURS = {  # the paper's, of one of five seeds
    "SafetyAntVelocity-v1": {
        "sl-sac": 6.57, "sac-lag": 5.56, "sac-pid": 4.79, "td3-lag": 6.03, "td3-pid": 5.98, "wcsac": 6.28,
    },
    "SafetyWalker2dVelocity-v1": {
        "sl-sac": 6.22, "sac-lag": 6.03, "sac-pid": 5.90, "td3-lag": 6.09, "td3-pid": 6.00, "wcsac": 5.94,
    },
}  # fmt: skip
PRESETS = {"sl-sac": "paper", "wcsac": "paper"} | dict.fromkeys(
    ("sac-lag", "sac-pid", "td3-lag", "td3-pid"), "omnisafe"
)
RANDOM, WARM = 1, 1  # epochs before anything is timed


def seconds(algo: str, task: str, options: argparse.Namespace) -> list[float]:
    """Of an environment step, in each of the counted epochs."""
    epoch, ends = options.epoch, [time.perf_counter()]
    changed: dict[str, Any] = dict(steps_per_epoch=epoch)
    if issubclass(AGENTS[algo][1], OffPolicyConfig):
        changed |= dict(start_steps=RANDOM * epoch)
    epochs = RANDOM + WARM + options.rounds
    with tempfile.TemporaryDirectory() as folder:
        pyslsac.train(
            algo,
            task,
            steps=epochs * epoch,
            preset=PRESETS.get(algo, "step"),
            agent=changed,
            device=options.device,
            threads=options.threads,
            eval_every=0,
            eval_episodes=1,
            final_episodes=1,
            checkpoint_every=epochs,
            out=Path(folder) / "run",
            quiet=True,
            on_epoch=lambda columns: ends.append(time.perf_counter()),
        )
    spans = [(later - before) / epoch for before, later in itertools.pairwise(ends)]
    return spans[RANDOM + WARM : RANDOM + WARM + options.rounds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", default=list(AGENTS), choices=list(AGENTS), metavar="ALGO")
    parser.add_argument("--tasks", nargs="+", default=list(HOURS), metavar="TASK")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--epoch", type=int, default=200, help="steps of an epoch")
    parser.add_argument("--rounds", type=int, default=3, help="epochs that count")
    parser.add_argument("--quick", action="store_true", help="two algorithms, few steps: does it run?")
    parser.add_argument("--out", type=Path, help="a file or folder to keep the times in, such as bench/results")
    options = parser.parse_args()
    if options.quick:
        options.algos, options.tasks, options.epoch, options.rounds = ["sl-sac", "sac-lag"], list(HOURS)[:1], 10, 2
    cases = {}
    for task in options.tasks:
        table = Table(title=f"{task}: hours for a million steps of one run")
        for heading in ("algorithm", "here", "paper, V100", "steps/s here"):
            table.add_column(heading, justify="left" if heading == "algorithm" else "right")
        cases[task] = summary({algo: seconds(algo, task, options) for algo in options.algos})
        for algo, us in cases[task]["us"].items():
            paper = HOURS.get(task, {}).get(algo)
            hours = us["median"] / 3_600  # a million steps of so many microseconds are as many seconds
            table.add_row(algo, f"{hours:.2f}", f"{paper:.2f}" if paper else "", f"{1e6 / us['median']:,.0f}")
        Console(width=100).print(table)
    if options.out is not None:
        print(f"written: {write(options.out, 'table3', cases, torch.device(options.device))}")


if __name__ == "__main__":
    main()
