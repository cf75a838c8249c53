"""The algorithms, in one plain dict, and how to make one."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pyslsac.agents import (
    algd,
    cpo,
    cvpo,
    lac,
    lql,
    lsac,
    nc_lql,
    ppo_lag,
    sac,
    sac_lag,
    sac_pid,
    safe_nc_lql,
    sl_sac,
    td3,
    td3_lag,
    td3_pid,
    wcsac,
)
from pyslsac.agents.algd import ALGD, ALGDConfig
from pyslsac.agents.base import Agent, OffPolicyConfig, OnPolicyConfig
from pyslsac.agents.cpo import CPO, CPOConfig
from pyslsac.agents.cvpo import CVPO, CVPOConfig
from pyslsac.agents.lac import LAC, LACConfig
from pyslsac.agents.lql import LQL, LQLConfig
from pyslsac.agents.lsac import LSAC, LSACConfig
from pyslsac.agents.nc_lql import NCLQL, NCLQLConfig
from pyslsac.agents.ppo_lag import PPOLag, PPOLagConfig
from pyslsac.agents.sac import SAC, SACConfig
from pyslsac.agents.sac_lag import SACLag, SACLagConfig
from pyslsac.agents.sac_pid import SACPID, SACPIDConfig
from pyslsac.agents.safe_nc_lql import SafeNCLQL, SafeNCLQLConfig
from pyslsac.agents.sl_sac import SLSAC, SLSACConfig
from pyslsac.agents.td3 import TD3, TD3Config
from pyslsac.agents.td3_lag import TD3Lag, TD3LagConfig
from pyslsac.agents.td3_pid import TD3PID, TD3PIDConfig
from pyslsac.agents.wcsac import WCSAC, WCSACConfig
from pyslsac.data import Spec, map_runs, stack_runs

AGENTS: dict[str, tuple[type[Agent], type[OffPolicyConfig] | type[OnPolicyConfig]]] = {
    "sl-sac": (SLSAC, SLSACConfig),
    "cvpo": (CVPO, CVPOConfig),
    "lac": (LAC, LACConfig),
    "nc-lql": (NCLQL, NCLQLConfig),
    "lql": (LQL, LQLConfig),
    "safe-nc-lql": (SafeNCLQL, SafeNCLQLConfig),
    "algd": (ALGD, ALGDConfig),
    "sac": (SAC, SACConfig),
    "td3": (TD3, TD3Config),
    "sac-lag": (SACLag, SACLagConfig),
    "td3-lag": (TD3Lag, TD3LagConfig),
    "sac-pid": (SACPID, SACPIDConfig),
    "td3-pid": (TD3PID, TD3PIDConfig),
    "wcsac": (WCSAC, WCSACConfig),
    "lsac": (LSAC, LSACConfig),
    "ppo-lag": (PPOLag, PPOLagConfig),
    "cpo": (CPO, CPOConfig),
}
PRESETS = {
    "sl-sac": sl_sac.presets,
    "cvpo": cvpo.presets,
    "lac": lac.presets,
    "nc-lql": nc_lql.presets,
    "lql": lql.presets,
    "safe-nc-lql": safe_nc_lql.presets,
    "algd": algd.presets,
    "sac": sac.presets,
    "td3": td3.presets,
    "sac-lag": sac_lag.presets,
    "td3-lag": td3_lag.presets,
    "sac-pid": sac_pid.presets,
    "td3-pid": td3_pid.presets,
    "wcsac": wcsac.presets,
    "lsac": lsac.presets,
    "ppo-lag": ppo_lag.presets,
    "cpo": cpo.presets,
}

__all__ = [
    "AGENTS",
    "ALGD",
    "CPO",
    "CVPO",
    "LAC",
    "LQL",
    "LSAC",
    "NCLQL",
    "PRESETS",
    "SAC",
    "SACPID",
    "SLSAC",
    "TD3",
    "TD3PID",
    "WCSAC",
    "ALGDConfig",
    "Agent",
    "CPOConfig",
    "CVPOConfig",
    "LACConfig",
    "LQLConfig",
    "LSACConfig",
    "NCLQLConfig",
    "OnPolicyConfig",
    "PPOLag",
    "PPOLagConfig",
    "SACConfig",
    "SACLag",
    "SACLagConfig",
    "SACPIDConfig",
    "SLSACConfig",
    "SafeNCLQL",
    "SafeNCLQLConfig",
    "TD3Config",
    "TD3Lag",
    "TD3LagConfig",
    "TD3PIDConfig",
    "WCSACConfig",
    "config_for",
    "make_agent",
    "map_runs",
    "stack_runs",
]


def _lookup(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}")


def config_for(
    name: str, preset: str | None = None, task: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Any:
    """The config of algorithm `name`: its defaults, then `preset` (some depend on `task`), then `overrides`.

    Raises ValueError for an algorithm, preset or field that does not exist, and for a value out of range.
    """
    config = _lookup("algorithm", name, AGENTS)[1]()
    changes = dict(_lookup(f"preset of {name}", preset, PRESETS[name](task))) if preset is not None else {}
    changes |= dict(overrides or {})
    fields = {field.name: None for field in dataclasses.fields(config)}
    for key in changes:
        _lookup(f"field of {type(config).__name__}", key, fields)
    return dataclasses.replace(config, **changes)


def make_agent(
    name: str,
    spec: Spec,
    config: Any = None,
    *,
    preset: str | None = None,
    runs: int = 1,
    device: torch.device | str = "cpu",
    seed: int | Sequence[int] = 0,
) -> Agent:
    """An agent of algorithm `name` for a task of sizes `spec`.

    `config` is the algorithm's config, a mapping of fields that differ from `preset`, or None. `seed` is one integer,
    from which the runs get seed, seed + 1, ..., or one integer a run. Raises ValueError on anything unknown.
    """
    agent_class, config_class = _lookup("algorithm", name, AGENTS)
    if not isinstance(config, config_class):
        if config is not None and not isinstance(config, Mapping):
            kind = type(config).__name__
            raise ValueError(f"make_agent: config is a {kind}, wanted {config_class.__name__} or a dict")
        config = config_for(name, preset, overrides=config)
    elif preset is not None:
        raise ValueError("make_agent: give a whole config or a preset, not both")
    seeds = [seed + run for run in range(runs)] if isinstance(seed, int) else [int(s) for s in seed]
    if len(seeds) != runs and (runs != 1 or not seeds):
        raise ValueError(f"make_agent: {len(seeds)} seeds for {runs} runs; give one a run")
    return agent_class(spec, config, seeds, device)
