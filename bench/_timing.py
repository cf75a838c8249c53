"""The command line of the scripts beside it: they time cases against rivals and keep what they find in results/."""

import argparse
from pathlib import Path

import torch
from rich.console import Console

from pyslsac.experiments.bench import cases_of, run, table
from pyslsac.experiments.cases import Cases
from pyslsac.experiments.timing import Result

RESULTS = Path(__file__).parent / "results"


def show(name: str, result: Result) -> None:
    Console(width=140).print(table(name, result))


def main(bench: str, cases: Cases | None = None) -> None:
    """Time the given cases, or those of the op of that name."""
    parser = argparse.ArgumentParser(description=f"Time {bench} against its rivals.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="small and few: does it run? Written only with --out")
    parser.add_argument("--out", type=Path, help="another file or folder than bench/results/<device>.json")
    options = parser.parse_args()
    out = options.out or (None if options.quick else RESULTS)
    benches = cases_of([bench]) if cases is None else {bench: cases}
    for name, result in run(benches, options.device, threads=options.threads, quick=options.quick, out=out):
        show(name, result)
