"""What uniformly random actions return and cost: ten episodes of each task, kept in bench/results/random/.

`python bench/random_policy.py SafetyHalfCheetahVelocity-v1`; a policy that has learnt something is above that.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path

import torch
from torch import Tensor

from pyslsac.envs import VectorEnv, make_vec
from pyslsac.plots import interval
from pyslsac.train.evaluate import evaluate

RESULTS = Path(__file__).parent / "results" / "random"
EPISODES = 10


class Random:
    """Acts uniformly in [-1, 1], whatever it observes."""

    def __init__(self, act_dim: int, seed: int) -> None:
        self.act_dim, self.generator = act_dim, torch.Generator().manual_seed(seed)

    def act(self, obs: Tensor, deterministic: bool = True) -> Tensor:
        return torch.rand(*obs.shape[:-1], self.act_dim, generator=self.generator) * 2 - 1


def make(task: str, count: int, seeds: list[int]) -> VectorEnv:
    return make_vec(task, num_envs=count, seed=seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="+", metavar="TASK")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for task in options.tasks:
        with make_vec(task) as venv:
            agent = Random(venv.spec_.act_dim, options.seed)
        played = evaluate(agent, functools.partial(make, task), [options.seed], EPISODES)[0]  # [EPISODES, 3]
        found: dict[str, object] = {"task": task, "seed": options.seed, "count": EPISODES}
        for name, values in zip(("return", "cost"), played.T, strict=False):
            mean, half = interval(values[:, None])
            found[name] = {"mean": mean.item(), "half_interval": half.item(), "episodes": values.tolist()}
            print(f"{task}: {name} {mean.item():.2f}, 95 % interval ± {half.item():.2f}")
        (options.out / f"{task}.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
