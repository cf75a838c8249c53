"""A training session: epochs around the loop, with evaluation, logs, checkpoints, failures and signals."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from pyslsac.agents import map_runs, stack_runs
from pyslsac.envs import VectorEnv, WorkerError
from pyslsac.train import heap
from pyslsac.train.checkpoint import Checkpoints
from pyslsac.train.display import Display
from pyslsac.train.errors import CheckpointError, Interrupted, TrainingFailed
from pyslsac.train.evaluate import evaluate, summarise
from pyslsac.train.finite import nonfinite_parts
from pyslsac.train.interrupt import SignalWatch
from pyslsac.train.off_policy import OffPolicy
from pyslsac.train.run_files import RunFiles
from pyslsac.train.settings import Settings

OnEpoch = Callable[[dict[str, np.ndarray]], bool | None]


class Session:
    """Trains the runs in `files` to `settings.steps` environment steps each."""

    def __init__(
        self,
        settings: Settings,
        loop: OffPolicy,
        files: Sequence[RunFiles],
        checkpoints: Checkpoints,
        make: Callable[[int, list[int]], VectorEnv],
        display: Display,
        facts: dict[str, Any],
        on_epoch: OnEpoch | None = None,
    ) -> None:
        self.settings, self.loop, self.files, self.checkpoints = settings, loop, list(files), checkpoints
        self.make, self.display, self.facts, self.on_epoch = make, display, facts, on_epoch
        self.epoch, self.logged_steps, self.seconds = 0, 0, 0.0

    def run(self) -> None:
        """Train until the end, until `on_epoch` says stop, or until a signal comes."""
        try:
            with SignalWatch() as watch, self.display:
                while self._goes_on():
                    if watch.signum is not None:
                        self._interrupt(watch.signum)
                    self.loop.step()
                    self.display.tick(self.loop.env_steps)
                    self._drop(self.loop.bad_runs(wait=False))
        except (WorkerError, OSError, CheckpointError) as error:
            with suppress(OSError):  # the disk may be what broke
                self._end("broken off")
            if isinstance(error, CheckpointError):
                raise
            folder = self.files[0].folder.parent
            raise TrainingFailed(f"{error}. The last good checkpoint is kept: resume with {folder}") from error

    def _goes_on(self) -> bool:
        """Log a row where one is due; False at the end, and when `on_epoch` wants to stop."""
        steps = self.loop.env_steps
        final = steps >= self.settings.steps
        due = steps // self.loop.config.steps_per_epoch > self.epoch or (final and steps > self.logged_steps)
        if due and not self._end_epoch(final):
            self._end("stopped")
            return False
        if final:
            self._end("finished")
        return not final

    def _end(self, status: str) -> None:
        for place, run in enumerate(self.files):
            run.count(self.loop, place)
            run.record.set(status=status)
        self.display.say(self.loop.clock.split())

    def _interrupt(self, signum: int) -> None:
        self.save()
        self._end("interrupted")
        folder, name = self.files[0].folder.parent, signal.Signals(signum).name
        raise Interrupted(signum, f"{name}: saved at step {self.loop.env_steps:,}; resume with {folder}")

    def _end_epoch(self, final: bool) -> bool:
        """Evaluate, log, checkpoint; False when `on_epoch` wants to stop before the end."""
        self._drop(self.loop.bad_runs())
        self._drop(nonfinite_parts(self.loop.agent))  # before it is evaluated
        loop, settings = self.loop, self.settings
        self.epoch = loop.env_steps // loop.config.steps_per_epoch
        values = loop.read()
        with loop.clock.time("Time/Evaluate"):
            if final:
                values |= self._evaluate(settings.final_episodes)
            elif settings.eval_every and self.epoch % settings.eval_every == 0:
                values |= self._evaluate(settings.eval_episodes)
        values |= self._counters()
        with loop.clock.time("Time/Log"):
            for place, run in enumerate(self.files):
                run.write_row({name: column[place].item() for name, column in values.items()})
            self.display.epoch(loop.env_steps, loop.seeds, values)
            heap.trim()
        goes_on = self.on_epoch is None or self.on_epoch(values) is not False
        if final or not goes_on or self.epoch % settings.checkpoint_every == 0:
            self.save()
        return goes_on or final

    def _counters(self) -> dict[str, np.ndarray]:
        seconds, total = self.loop.clock.read()
        runs, steps = len(self.files), self.loop.env_steps - self.logged_steps
        self.seconds, self.logged_steps = self.seconds + total, self.loop.env_steps
        numbers = {
            "Train/Epoch": self.epoch,
            "TotalEnvSteps": self.loop.env_steps,
            "Train/Updates": self.loop.updates,
            "Time/Total": self.seconds,
            "Time/FPS": steps * runs / total,
            **seconds,
        }
        return {name: np.full(runs, number) for name, number in numbers.items()}

    def _evaluate(self, count: int) -> dict[str, np.ndarray]:
        loop = self.loop
        episodes = evaluate(loop.agent, self.make, loop.seeds, count, occasion=loop.env_steps)  # [R, episodes, 3]
        summaries = [summarise(e, getattr(loop.config, "risk_level", 1.0)) for e in episodes]
        for run, summary in zip(self.files, summaries, strict=True):
            run.add_evaluation({"env_steps": loop.env_steps, "updates": loop.updates, **summary})
        return {
            "Metrics/TestEpRet": episodes[..., 0].mean(axis=1),
            "Metrics/TestEpCost": episodes[..., 1].mean(axis=1),
            "Metrics/TestEpLen": episodes[..., 2].mean(axis=1),
            "Metrics/TestEpCostCVaR": np.array([summary["cost"]["cvar"] for summary in summaries]),
        }

    def save(self) -> None:
        """Write a checkpoint of every run; runs whose parameters are not finite are dropped instead."""
        self._drop(nonfinite_parts(self.loop.agent))
        with self.loop.clock.time("Time/Log"):
            self.checkpoints.save(self.loop.env_steps, self._states(), self.loop.replay)

    def _states(self) -> list[dict[str, Any]]:
        stacked, envs, replay = self.loop.state_dict(), self.loop.env_states(), self.loop.replay
        session = {"epoch": self.epoch, "logged_steps": self.logged_steps, "seconds": self.seconds}
        return [
            {
                "loop": map_runs(stacked, functools.partial(_of_run, place)),
                "replay": replay.counters(),
                "envs": envs[place],
                "files": run.state_dict(),
                "session": session | {"random": torch.get_rng_state()},
                "facts": self.facts,
            }
            for place, run in enumerate(self.files)
        ]

    def load_states(self, states: Sequence[dict[str, Any]]) -> None:
        """Go on from the runs' checkpoints; what does not come back bit for bit is marked in the runs' records."""
        session = states[0]["session"]
        self.epoch, self.logged_steps, self.seconds = session["epoch"], session["logged_steps"], session["seconds"]
        torch.set_rng_state(session["random"])
        self.loop.load_state_dict(stack_runs([state["loop"] for state in states]))
        lost = self.loop.load_env_states([state["envs"] for state in states])
        for run, count in zip(self.files, lost, strict=True):
            if count:
                run.mark_inexact(
                    f"{count} of {self.loop.num_envs} environments did not come back at step {self.loop.env_steps:,}"
                )

    def _drop(self, bad: Mapping[int, Sequence[str]]) -> None:
        """Take the runs `bad` out, each with what was not finite in it; the others go on and are saved first."""
        if not bad:
            return
        update, step = self.loop.updates, self.loop.env_steps
        failed = {self.files[place]: ", ".join(sorted(set(names))) for place, names in sorted(bad.items())}
        for place in bad:
            self.files[place].count(self.loop, place)
        keep = [place for place in range(len(self.files)) if place not in bad]
        if keep:
            self.loop.select(keep)
            self.files = [self.files[place] for place in keep]
            self.checkpoints = self.checkpoints.select(keep)
            self.facts = self.facts | {"runs": len(keep), "seeds": self.loop.seeds}
            self.save()
        for run, names in failed.items():
            reason = f"not finite by update {update:,}: {names}"
            run.record.set(status="failed", failure={"update": update, "step": step, "reason": reason})
            run.close()
            self.display.say(f"seed {run.seed} failed, {reason}; its last good checkpoint is kept")
        if not keep:
            listed = "; ".join(f"seed {run.seed}: {names}" for run, names in failed.items())
            raise TrainingFailed(
                f"no run is left: not finite by update {update:,} ({listed}). Last good checkpoints are kept."
            )


def _of_run(place: int, stacked: torch.Tensor) -> torch.Tensor:
    return stacked[place : place + 1].cpu().clone()
