"""What a training keeps in memory, epoch by epoch: is it flat? Kept as bench/results/memory/ALGO.json.

One run with the preset `step` and an update a step, without evaluations, so that what grows is the training itself.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import torch

import pyslsac
from pyslsac.agents import AGENTS
from pyslsac.experiments.bench import facts

TASK = "SafetyHalfCheetahVelocity-v1"
RESULTS = Path(__file__).parent / "results" / "memory"
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> float:
    """MiB of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def watch(algo: str, steps: int, epoch: int, threads: int) -> dict[int, float]:
    """Resident MiB at the end of every epoch of a training, by its environment steps."""
    seen: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        pyslsac.train(
            algo,
            TASK,
            steps=steps,
            preset="step",
            agent=dict(steps_per_epoch=epoch, start_steps=epoch),
            device="cpu",
            threads=threads,
            eval_every=0,
            final_episodes=1,
            out=Path(folder) / "run",
            quiet=True,
            on_epoch=lambda columns: seen.update({int(columns["TotalEnvSteps"][0]): round(resident(), 1)}),
        )
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", default="sl-sac", choices=list(AGENTS), metavar="ALGO")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--epoch", type=int, default=1_000, help="steps from one look to the next")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="few steps: does it run? Written only with --out")
    parser.add_argument("--out", type=Path, default=None, help="another folder than bench/results/memory")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.epoch = 60, 20
    torch.set_num_threads(options.threads)  # what the file calls threads
    seen = watch(options.algo, options.steps, options.epoch, options.threads)
    for steps, mebibytes in seen.items():
        print(f"{steps:>9,} steps{mebibytes:>9,.1f} MiB")
    out = options.out or (None if options.quick else RESULTS)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        kept = facts(torch.device("cpu")) | {"task": TASK, "MiB": {str(steps): size for steps, size in seen.items()}}
        (out / f"{options.algo}.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(f"written: {out / options.algo}.json")


if __name__ == "__main__":
    main()
