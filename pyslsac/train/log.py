"""One run's log: progress.csv and TensorBoard always, Weights & Biases when asked; and what every column means."""

from __future__ import annotations

import csv
import importlib
import io
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from pyslsac.train.atomic import write_atomic

COLUMNS: dict[str, str] = {
    "Train/Epoch": "epochs finished",
    "TotalEnvSteps": "environment steps of this run so far, over all its environments",
    "Train/Updates": "updates of the agent so far",
    "Metrics/EpRet": "return of the training episodes: mean of the last ten",
    "Metrics/EpCost": "undiscounted cost of the training episodes: mean of the last ten",
    "Metrics/EpLen": "length of the training episodes: mean of the last ten",
    "Metrics/LagrangeMultiplier": "Lagrange multiplier of the cost constraint",
    "Metrics/MultiplierMax": "cap on the Lagrange multiplier where it moves with the critics (LAC)",
    "Metrics/EpCostCVaR": "CVaR, at the agent's risk level, of the window of episode costs that drives the multiplier",
    "Metrics/TestEpRet": "return of the deterministic evaluation episodes, mean",
    "Metrics/TestEpCost": "cost of the deterministic evaluation episodes, mean",
    "Metrics/TestEpLen": "length of the deterministic evaluation episodes, mean",
    "Metrics/TestEpCostCVaR": "cost of the deterministic evaluation episodes: CVaR at the agent's risk level",
    "Epoch/Episodes": "training episodes that ended in this epoch",
    "Epoch/EpRet": "return of the training episodes that ended in this epoch, mean",
    "Epoch/EpCost": "cost of the training episodes that ended in this epoch, mean",
    "Epoch/EpCostMax": "largest cost of a training episode that ended in this epoch",
    "Epoch/EpLen": "length of the training episodes that ended in this epoch, mean",
    "Metrics/Episodes": "training episodes ended so far",
    "Metrics/EpisodesOverLimit": "training episodes so far whose cost was over the limit",
    "Metrics/CostRate": "cost per environment step since the start of training",
    "Loss/Loss_reward_critic": "loss of the reward critics, summed over the ensemble, mean over the epoch's updates",
    "Loss/Loss_cost_critic": "loss of the cost critic, mean over the epoch's updates",
    "Loss/Loss_level": "loss of the reward critics at noisy levels: twins summed, mean over the epoch's updates",
    "Loss/Loss_cost_level": "loss of the cost critics at noisy levels: twins summed, mean over the epoch's updates",
    "Loss/Loss_score": "squared error of the score network's output, mean over the epoch's updates",
    "Loss/Loss_pi": "loss of the policy, mean over the epoch's updates that moved it",
    "Value/reward_critic": "discounted return that the reward critics predict, mean over replayed transitions",
    "Value/cost_critic": "discounted cost the policy pays for (its CVaR in a risk-averse agent), mean over states",
    "Value/ReplayCVaR": "CVaR of the cost of replayed actions, by the cost critic: what WCSAC holds to its budget",
    "Value/CostPrice": "what WCSAC's policy pays for a unit of CVaR, multiplier - damp; below 0 it is paid",
    "Value/EnsembleSpread": "standard deviation of the reward critics' predictions across the ensemble",
    "Value/Energy": "energy whose negative gradient the policy follows, mean over states, at its own actions",
    "Value/Entropy": "entropy of the policy, estimated as the mean of -log π(a|s)",
    "Value/alpha": "entropy coefficient",
    "Dual/Eta": "temperature of CVPO's reweighting, the dual variable of its KL constraint",
    "Dual/KL": "KL(q || π_old) that the E-step's weights reach, mean over states",
    "Dual/Cost": "cost critic's value under the E-step's weights, mean over states",
    "Dual/Budget": "what that value may be: the cost limit in the critic's units",
    "Trust/KLMean": "KL of the policy's mean from the old policy's, before the M-step's last move",
    "Trust/KLStd": "KL of the policy's spread from the old policy's, before the M-step's last move",
    "Trust/AlphaMean": "dual variable of the mean's trust region",
    "Trust/AlphaStd": "dual variable of the spread's trust region",
    "Loss/Loss_pi_cost": "surrogate of the policy's cost that CPO limits, after its step",
    "Train/KL": "KL of the policy that collected a rollout from the one that was learnt on it, mean over its states",
    "Train/StopIter": "passes over the rollout that the policy took before its KL was above the target",
    "Train/PolicyStd": "standard deviation of the policy, mean over the action's components",
    "Misc/OptimCase": "CPO's step: 0 recovery, 1 the limit binds and is exceeded, 2 it binds, 3 it does not bind",
    "Misc/AcceptanceStep": "the try of CPO's line search that was accepted; 0: none, the policy stays",
    "Misc/FinalStepNorm": "Euclidean norm of the change of the policy's parameters",
    "Misc/Lambda_star": "multiplier of CPO's trust region",
    "Misc/Nu_star": "multiplier of CPO's linearised cost constraint",
    "Misc/Violation": "cost per step over the limit, (mean cost of the last episodes - cost limit) / their length",
    "Langevin/Distance": "how far chains end from where they started, mean Euclidean distance of the actions",
    "Langevin/NoiseDriftRatio": "|noise| / |drift| in the reward critics' last Langevin step",
    "Langevin/MovableShare": "share of the reward critics' weights that the noise alone could move in their precision",
    "Time/Total": "seconds of training so far, those before a resume included",
    "Time/FPS": "environment steps per second in this epoch, over all runs",
    "Time/Act": "seconds of this epoch spent choosing actions and handing them to the environments",
    "Time/Update": "seconds of this epoch spent in updates (on a GPU: in launching them)",
    "Time/Wait": "seconds of this epoch spent waiting for the environments",
    "Time/Store": "seconds of this epoch spent in the replay, episode accounts and finiteness checks",
    "Time/Evaluate": "seconds spent in the evaluation at the end of this epoch",
    "Time/Log": "seconds spent in logging and checkpoints since the previous row",
}


class RunLog:
    """Rows of one run. `write` takes known columns only; `rows` of an earlier process are kept, later ones dropped."""

    def __init__(
        self, folder: Path, *, rows: int = 0, env_steps: int = 0, wandb: Mapping[str, Any] | None = None
    ) -> None:
        self.path = folder / "progress.csv"
        resumed = self.path.exists()
        self.rows = _read(self.path, rows)
        self.header = _ordered({column for row in self.rows for column in row})
        if resumed:
            self._rewrite()
        self.writer = SummaryWriter(str(folder), purge_step=env_steps + 1 if resumed else None)
        self.wandb = import_wandb().init(dir=str(folder), **wandb) if wandb is not None else None

    def write(self, values: Mapping[str, float]) -> None:
        """Append one row; NaN leaves its cell empty. ValueError names a column that COLUMNS lacks."""
        unknown = [column for column in values if column not in COLUMNS]
        if unknown:
            raise ValueError(f"unknown log columns {unknown}: give each a meaning in pyslsac/train/log.py")
        known = {column: value for column, value in values.items() if not math.isnan(value)}
        self.rows.append({column: repr(value) for column, value in known.items()})
        header = _ordered({*self.header, *known})
        if header != self.header:
            self.header = header
            self._rewrite()
        else:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, header, lineterminator="\n").writerow(self.rows[-1])
        step = int(values["TotalEnvSteps"])
        for column, value in known.items():
            self.writer.add_scalar(column, value, step)
        self.writer.flush()
        if self.wandb is not None:
            self.wandb.log(dict(known), step=step)

    def close(self) -> None:
        self.writer.close()
        if self.wandb is not None:
            self.wandb.finish()

    def _rewrite(self) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, self.header, lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_atomic(self.path, text.getvalue().encode())


def _read(path: Path, rows: int) -> list[dict[str, str]]:
    """The first `rows` rows of a CSV, without its empty cells."""
    if not rows:
        return []
    kept: list[dict[str, str]] = []
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                kept.append({column: value for column, value in row.items() if value})
    if len(kept) < rows:
        warnings.warn(f"{path} has {len(kept)} rows, the checkpoint was made after {rows}", stacklevel=2)
    return kept[:rows]


def _ordered(columns: set[str]) -> list[str]:
    return [column for column in COLUMNS if column in columns]


def import_wandb() -> ModuleType:
    """Weights & Biases; ValueError where it is not installed."""
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise ValueError("logging to Weights & Biases was asked for, but it is not there: pip install wandb") from error
