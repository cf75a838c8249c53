"""Composition root: builds environments, agent, replay, logs and session, or brings them back, and trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import torch

from pyslsac.agents import OnPolicyConfig, config_for, make_agent
from pyslsac.data import Replay
from pyslsac.envs import VectorEnv, make_vec
from pyslsac.train.checkpoint import Checkpoints
from pyslsac.train.display import Display
from pyslsac.train.evaluate import TRAINING, env_seeds
from pyslsac.train.log import import_wandb
from pyslsac.train.off_policy import OffPolicy
from pyslsac.train.on_policy import OnPolicy
from pyslsac.train.plan import new_runs, recorded_runs
from pyslsac.train.record import facts_of
from pyslsac.train.run_files import RunFiles, SeedResult
from pyslsac.train.session import OnEpoch, Session
from pyslsac.train.settings import Settings


@dataclass(frozen=True)
class TrainResult:
    """What `train` returns: the run directory and one result per seed."""

    out: Path
    seeds: tuple[SeedResult, ...]

    @property
    def finished(self) -> bool:
        return all(seed.status == "finished" for seed in self.seeds)


def train(
    algo: str | None = None,
    task: str | Callable[..., gymnasium.Env[Any, Any]] | None = None,
    *,
    steps: int | None = None,
    seeds: Sequence[int] | None = None,
    num_envs: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    preset: str | None = None,
    agent: Mapping[str, Any] | None = None,
    resume: str | Path | None = None,
    eval_every: int | None = None,
    eval_episodes: int | None = None,
    final_episodes: int | None = None,
    checkpoint_every: int | None = None,
    wandb: bool = False,
    quiet: bool = False,
    on_epoch: OnEpoch | None = None,
    threads: int | None = None,
    cost_key: str | None = None,
    eager: bool | None = None,
    faithful: bool | None = None,
    env: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train one run per seed, all in lockstep, and write runs/<algo>/<task>/seed-*; or go on from `resume`.

    `steps` counts environment steps per run; `agent` holds fields of the algorithm's config, on top of `preset`; `env`
    further arguments of `make_vec`. `resume` names a run directory or one of its seed folders: what is not given is
    then as recorded (a larger `steps` extends the runs). `eager` makes every update by its Python, for a debugger or a
    profiler, where off-policy ones are otherwise recorded and replayed; the numbers are the same. `faithful` keeps the
    strict order of the algorithms' boxes, in which a step is learnt from at once and nothing overlaps.
    `on_epoch(columns)` gets each epoch's row as arrays, one number per run; when it returns False a checkpoint is saved
    and training stops.

    Raises ValueError for what cannot be trained, `TrainingFailed`, `CheckpointError` or the environments'
    `WorkerError` when training breaks off (the last good checkpoint stays), and `Interrupted`, a KeyboardInterrupt,
    after saving, on Ctrl-C or SIGTERM.
    """
    given = {
        "steps": steps,
        "num_envs": num_envs,
        "device": None if device == "auto" else device,
        "threads": threads,
        "cost_key": cost_key,
        "eager": eager,
        "faithful": faithful,
        "env": dict(env) if env is not None else None,
        "eval_every": eval_every,
        "eval_episodes": eval_episodes,
        "final_episodes": final_episodes,
        "checkpoint_every": checkpoint_every,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if resume is not None:
        if preset is not None or agent is not None or seeds is not None or out is not None:
            raise ValueError("resume goes on with the recorded seeds, preset and agent, in place: do not give them")
        folders, settings = recorded_runs(Path(resume), algo, task, given)
    else:
        folders, settings = new_runs(algo, task, seeds, out, preset, agent, given)
    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seeds[0])
            return _train(settings, folders, task or settings.task, resume is not None, wandb, quiet, on_epoch)
    finally:
        torch.set_num_threads(before)


def _train(
    settings: Settings,
    folders: dict[int, Path],
    task: Any,
    resumed: bool,
    wandb: bool,
    quiet: bool,
    on_epoch: OnEpoch | None,
) -> TrainResult:
    def make(count: int, seeds: list[int]) -> VectorEnv:
        return make_vec(task, num_envs=count, seed=seeds, cost_key=settings.cost_key, **settings.env)

    seeds, runs, num_envs = list(folders), len(folders), settings.num_envs
    config = config_for(settings.algo, overrides=settings.agent)
    if wandb:
        import_wandb()  # fails before anything is written
    with ExitStack() as closing:
        venv = make(runs * num_envs, [s for seed in seeds for s in env_seeds(seed, num_envs, TRAINING)])
        closing.callback(venv.close)
        agent = make_agent(settings.algo, venv.spec_, config, runs=runs, device=settings.device, seed=seeds)
        on_policy = isinstance(config, OnPolicyConfig)
        wanted = config.steps_per_epoch + num_envs if on_policy else config.buffer_size
        capacity = min(wanted, settings.steps + num_envs)
        replay = Replay(venv.spec_, capacity, runs, seeds=seeds, device=settings.device)
        loop: OnPolicy | OffPolicy
        if on_policy:
            loop = OnPolicy(agent, replay, venv, seeds, num_envs)
        else:
            loop = OffPolicy(agent, replay, venv, seeds, num_envs, eager=settings.eager, faithful=settings.faithful)
        facts = facts_of(settings, seeds, config.precision) | {"task": _sizes(venv)}
        checkpoints = Checkpoints(list(folders.values()))
        states = checkpoints.load(replay) if resumed else None
        files = []
        for (seed, folder), state in zip(folders.items(), states or [{}] * runs, strict=True):
            files.append(RunFiles(folder, dataclasses.replace(settings, seed=seed), facts, state, wandb=wandb))
            closing.callback(files[-1].close)
        done = states[0]["loop"]["env_steps"] if states else 0
        title = f"{settings.algo} on {settings.task}"
        display = Display(title, settings.steps, config.cost_limit, done=done, quiet=quiet)
        session = Session(settings, loop, files, checkpoints, make, display, facts, on_epoch)
        if states:
            session.load_states(states)
        else:
            loop.reset()
        session.run()
    return TrainResult(folders[seeds[0]].parent, tuple(run.result() for run in files))


def _sizes(venv: VectorEnv) -> dict[str, Any]:
    """What a policy must know of the task it was trained on: sizes, and the box that actions in [-1, 1] stand for."""
    box = venv.task_action_space
    return dataclasses.asdict(venv.spec_) | {"action_low": box.low.tolist(), "action_high": box.high.tolist()}
