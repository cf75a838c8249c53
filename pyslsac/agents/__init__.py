"""The algorithms, in one plain dict, and how to make one."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pyslsac.agents import algd, cvpo, lac, lql, nc_lql, safe_nc_lql, sl_sac
from pyslsac.agents.algd import ALGD, ALGDConfig
from pyslsac.agents.base import Agent, OffPolicyConfig, map_runs, stack_runs
from pyslsac.agents.cvpo import CVPO, CVPOConfig
from pyslsac.agents.lac import LAC, LACConfig
from pyslsac.agents.lql import LQL, LQLConfig
from pyslsac.agents.nc_lql import NCLQL, NCLQLConfig
from pyslsac.agents.safe_nc_lql import SafeNCLQL, SafeNCLQLConfig
from pyslsac.agents.sl_sac import SLSAC, SLSACConfig
from pyslsac.data import Spec

AGENTS: dict[str, tuple[type[Agent], type[OffPolicyConfig]]] = {
    "sl-sac": (SLSAC, SLSACConfig),
    "cvpo": (CVPO, CVPOConfig),
    "lac": (LAC, LACConfig),
    "nc-lql": (NCLQL, NCLQLConfig),
    "lql": (LQL, LQLConfig),
    "safe-nc-lql": (SafeNCLQL, SafeNCLQLConfig),
    "algd": (ALGD, ALGDConfig),
}
PRESETS = {
    "sl-sac": sl_sac.presets,
    "cvpo": cvpo.presets,
    "lac": lac.presets,
    "nc-lql": nc_lql.presets,
    "lql": lql.presets,
    "safe-nc-lql": safe_nc_lql.presets,
    "algd": algd.presets,
}

__all__ = [
    "AGENTS",
    "ALGD",
    "CVPO",
    "LAC",
    "LQL",
    "NCLQL",
    "PRESETS",
    "SLSAC",
    "ALGDConfig",
    "Agent",
    "CVPOConfig",
    "LACConfig",
    "LQLConfig",
    "NCLQLConfig",
    "SLSACConfig",
    "SafeNCLQL",
    "SafeNCLQLConfig",
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
