"""OmniSafe 0.5.0's own SAC-Lag, run by the Python of an environment that has it (docs/benchmarks.md: how to make one).

record FILE       some updates and multipliers of it, from rounded weights on a rounded batch: test data for our SAC-Lag
train JSON        the same training as ours, epoch by epoch, for bench_training.py

OmniSafe is used as it is installed, but for what stands here: safety-gymnasium's array defaults are copied while it is
imported, as everywhere in this project; `record` computes in float64, and rounds and notes the normals that it draws;
`train` waits at the end of every epoch, and does not evaluate.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from _turns import Turns

from pyslsac.envs import safety_gymnasium

TASK = "SafetyHopperVelocity-v1"  # some of whose random episodes end by a fall
WIDTH, BATCH, UPDATES, DECIMALS = 16, 16, 6, 4
CASES = {"as released": 40.0, "clipped": 0.5}  # max_grad_norm
MULTIPLIER = dict(lagrangian_multiplier_init=0.5, lambda_lr=0.01)
TRAJECTORIES = {"as released": {}, "down to zero": dict(lagrangian_multiplier_init=0.0, lambda_lr=1e-3)}
EPISODES = [50 + k % 20 for k in range(30)] + [k % 3 for k in range(120)]  # their costs; one ends every other update


def make(task: str, folder: str, **groups: Mapping[str, Any]) -> Any:
    """OmniSafe's SACLag with its own settings for the task, but for those given by group."""
    safety_gymnasium.load()
    import omnisafe

    groups["logger_cfgs"] = dict(log_dir=folder)
    return omnisafe.Agent("SACLag", task, custom_cfgs={"seed": 0, **groups}).agent


def small(folder: str, norm: float = 40.0, **lagrange: float) -> Any:
    """Small networks past the multiplier's warm-up, targets unlike them, and always the same batch."""
    agent = make(
        TASK,
        folder,
        train_cfgs=dict(total_steps=2_000, torch_threads=1),
        algo_cfgs=dict(batch_size=BATCH, max_grad_norm=norm),
        model_cfgs={part: dict(hidden_sizes=[WIDTH, WIDTH]) for part in ("actor", "critic")},
        lagrange_cfgs=lagrange,
    )
    agent._env.rollout(1_000, agent._actor_critic, agent._buf, agent.logger, use_rand_action=True)
    falls = agent._buf.data["done"][:, 0].nonzero()[:4, 0]
    rows = torch.cat([falls, torch.arange(BATCH - 4)])
    batch = {name: rounded(values[rows, 0].double()) for name, values in agent._buf.data.items()}
    batch["cost"] = rounded(torch.rand(BATCH))  # random hoppers are too slow to cost anything
    agent._buf.sample_batch = lambda: batch
    agent.logger._data["Metrics/EpCost"].clear()
    agent._epoch = agent._cfgs.algo_cfgs.warmup_epochs + 1
    with torch.no_grad():
        for name, values in agent._actor_critic.named_parameters():
            far = 0.1 * torch.randn_like(values) if name.startswith("target") else 0.0
            values.copy_(rounded(values + far))
    return agent


def rounded(values: torch.Tensor) -> torch.Tensor:
    return values.round(decimals=DECIMALS)


def networks(agent: Any) -> dict[str, list]:
    """The weights of all that takes part; the target of the actor does not."""
    named = agent._actor_critic.named_parameters()
    return {name: listed(values) for name, values in named if not name.startswith("target_actor")}


def listed(values: torch.Tensor) -> list:
    return torch.round(values.detach(), decimals=10).tolist()


def updates(agent: Any) -> dict[str, Any]:
    """Losses and multiplier of each update, the normals that it drew, and the weights at the end."""
    normal, drawn, rows = torch.distributions.normal._standard_normal, [], []

    def noted(*arguments: Any, **options: Any) -> torch.Tensor:
        drawn.append(rounded(normal(*arguments, **options)))
        return drawn[-1]

    torch.distributions.normal._standard_normal = noted
    for cost in EPISODES[:UPDATES]:
        drawn.clear()
        agent.logger.store({"Metrics/EpCost": float(cost)})
        agent._update()
        named = agent.logger._data
        row = {name: named[f"Loss/Loss_{name}"][-1] for name in ("reward_critic", "cost_critic")}
        if len(drawn) == 2:  # the second by the actor's loss
            row["pi"] = named["Loss/Loss_pi"][-1]
        rows.append({"losses": row, "multiplier": multiplier(agent), "noise": [listed(values) for values in drawn]})
    torch.distributions.normal._standard_normal = normal
    return {"updates": rows, "end": networks(agent)}


def multiplier(agent: Any) -> float:
    return float(agent._lagrange.lagrangian_multiplier.item())


def trajectory(agent: Any) -> list[float]:
    """The multiplier after each of two updates an episode."""
    values = []
    for cost in EPISODES:
        agent.logger.store({"Metrics/EpCost": float(cost)})
        for _ in range(2):
            agent._update()
            values.append(multiplier(agent))
    return values


def record(file: Path) -> None:
    torch.set_default_dtype(torch.float64)
    with tempfile.TemporaryDirectory() as folder:
        agent = small(folder)
        found = {
            "versions": {name: version(name) for name in ("omnisafe", "torch", "safety-gymnasium", "mujoco")},
            "task": TASK,
            "batch": {name: listed(values) for name, values in agent._buf.sample_batch().items()},
            "start": networks(agent),
            "rule": MULTIPLIER,
            "cases": {
                name: {"max_grad_norm": norm, **updates(small(folder, norm, **MULTIPLIER))}
                for name, norm in CASES.items()
            },
            "episodes": EPISODES,
            "trajectories": {
                name: {"rule": rule, "multiplier": trajectory(small(folder, **rule))}
                for name, rule in TRAJECTORIES.items()
            },
        }
    assert all(map(math.isfinite, found["trajectories"]["as released"]["multiplier"]))
    file.write_text(json.dumps(found, separators=(",", ":")) + "\n", "utf-8")


def train(settings: dict[str, Any]) -> None:
    """Epoch by epoch as it is asked to."""
    turns, epoch = Turns(), settings["epoch"]
    cycle = dict(steps_per_epoch=epoch, start_learning_steps=settings["random"], warmup_epochs=0)
    agent = make(
        settings["task"],
        settings["folder"],
        train_cfgs=dict(total_steps=settings["epochs"] * epoch, torch_threads=settings["threads"], eval_episodes=0),
        algo_cfgs=cycle | dict(batch_size=settings["batch_size"]),
    )
    agent.logger.store({"Metrics/EpCost": 0.0})  # its multiplier is NaN when an update comes before any episode's end
    dump = agent.logger.dump_tabular

    def log() -> None:
        dump()
        turns()

    agent.logger.dump_tabular = log
    agent.learn()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "train"))
    parser.add_argument("argument")
    options = parser.parse_args()
    record(Path(options.argument)) if options.what == "record" else train(json.loads(options.argument))
