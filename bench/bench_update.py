"""One gradient update of every agent against the same algorithm written plainly, and runs in lockstep against apart.

The plain versions in `oracle/` have separate networks, Python loops and autograd. Both sides work at the paper's sizes
and draw their random numbers inside the call. A call is `policy_delay` updates where an agent has that, so that
each holds one move of the actor and the targets. Ours are recorded updates, as training makes them (train/graph.py);
beside them stand the same ones made by their Python, and those of precision "bf16".
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from _timing import main
from oracle import algd, cvpo, lac, lsac, nc_lql, on_policy, sac_lag, sl_sac, td3_lag, wcsac

from pyslsac import make_agent
from pyslsac.data import Batch, Rollout, Spec
from pyslsac.train.graph import Graph

TASKS = {"HalfCheetah": Spec(obs_dim=17, act_dim=6), "Ant": Spec(obs_dim=27, act_dim=8)}
BF16 = dict(precision="bf16")
SMALL = dict(width=32, quantiles=4, target_quantiles=4, risk_quantiles=4)
RUNS = {"HalfCheetah": (4, 8), "Ant": (4,)}  # in lockstep
COMPILED = "targets", "reward_loss", "cost_loss", "actor_loss"
Rivals = dict[str, Callable[[], object]]
FAMILY: dict[str, Callable[..., Any]] = {  # what makes the plain version, from the sizes and the agent's changed fields
    "lac": lambda obs, act, **config: lac.LAC(obs, act, lac.Config(**config)),
    "cvpo": lambda obs, act, **config: cvpo.CVPO(obs, act, cvpo.Config(**config)),
    "nc-lql": lambda obs, act, **config: nc_lql.NCLQL(obs, act, nc_lql.Config(**config)),
    "safe-nc-lql": lambda obs, act, **config: nc_lql.NCLQL(obs, act, nc_lql.Config(constrained=True, **config)),
    "lql": lambda obs, act, **config: nc_lql.NCLQL(obs, act, nc_lql.LQLConfig(**config)),
    "algd": lambda obs, act, **config: algd.ALGD(obs, act, algd.Config(**config)),
    "wcsac": lambda obs, act, **config: wcsac.WCSAC(obs, act, wcsac.Config(**config)),
    "lsac": lambda obs, act, **config: lsac.LSAC(obs, act, lsac.Config(**config)),
    "sac": lambda obs, act, **config: sac_lag.SACLag(obs, act, sac_lag.Config(**config), constrained=False),
    "td3": lambda obs, act, **config: td3_lag.TD3Lag(obs, act, td3_lag.Config(**config), constrained=False),
    "sac-lag": lambda obs, act, **config: sac_lag.SACLag(obs, act, sac_lag.Config(**config)),
    "td3-lag": lambda obs, act, **config: td3_lag.TD3Lag(obs, act, td3_lag.Config(**config)),
    "sac-pid": lambda obs, act, **config: sac_lag.SACLag(obs, act, sac_lag.Config(actor_lr=1e-4, **config)),
    "td3-pid": lambda obs, act, **config: td3_lag.TD3Lag(obs, act, td3_lag.Config(actor_lr=1e-4, **config)),
}
MORE: dict[str, dict[str, dict[str, Any]]] = {  # states in which an update has more to do, and the fields behind them
    "algd": {", a price on every action": dict(cost_limit=0.0)},  # at first there is one on none: Qc < budget - λ / ρ
}

ON_POLICY: dict[str, Any] = {"ppo-lag": on_policy.PPOLag, "cpo": on_policy.CPO}


def random_batch(spec: Spec, runs: int, size: int, device: torch.device) -> Batch:
    rows = runs, size
    return Batch(
        obs=torch.randn(*rows, spec.obs_dim, device=device),
        action=torch.rand(*rows, spec.act_dim, device=device) * 2 - 1,
        reward=torch.randn(*rows, device=device),
        cost=torch.rand(*rows, device=device),
        next_obs=torch.randn(*rows, spec.obs_dim, device=device),
        terminated=(torch.rand(*rows, device=device) < 0.01).float(),
    )


def repeat(update: Callable[[Batch], object], batch: Batch, times: int) -> None:
    for _ in range(times):
        update(batch)


def sl_sac_cases(device: torch.device, quick: bool) -> Iterator[tuple[str, Rivals]]:
    options = SMALL if quick else {}
    for task, spec in [*TASKS.items()][: 1 if quick else None]:
        one = random_batch(spec, 1, 32 if quick else 256, device)
        for delay in (1, 2):
            config = options | {"policy_delay": delay}
            agent = make_agent("sl-sac", spec, config, device=device)
            graph, bf16 = Graph(agent), Graph(make_agent("sl-sac", spec, config | BF16, device=device))
            with torch.device(device):
                plain = sl_sac.SLSAC(spec.obs_dim, spec.act_dim, sl_sac.Config(**config))
            updates: dict[str, Callable[[Batch], object]] = {
                "sl-sac": graph,
                "bf16": bf16,
                "eager": agent.update,
                "separate networks": plain.update,
            }
            if task == "HalfCheetah" and delay == 1 and not quick:  # it compiles for minutes
                updates["losses by torch.compile"] = with_compiled_losses("sl-sac", spec, config, device).update
            yield (
                f"sl-sac, {task}, actor every {'update' if delay == 1 else f'{delay} updates'}, {delay} updates a call",
                {name: partial(repeat, update, one, delay) for name, update in updates.items()},
            )
        for runs in (2,) if quick else RUNS[task]:
            lockstep = Graph(make_agent("sl-sac", spec, options, runs=runs, device=device))
            many = random_batch(spec, runs, 32 if quick else 256, device)
            apart = [Graph(make_agent("sl-sac", spec, options, device=device, seed=run)) for run in range(runs)]
            yield (
                f"sl-sac, {task}, {runs} runs, 2 updates of each a call",
                {
                    f"{runs} runs in lockstep": partial(repeat, lockstep, many, 2),
                    f"{runs} agents, one after another": lambda updates=apart, one=one: [
                        update(one) for update in updates for _ in range(2)
                    ],
                },
            )


def with_compiled_losses(name: str, spec: Spec, config: dict[str, Any], device: torch.device) -> Any:
    """An agent whose targets and losses torch.compile makes; its optimizers and the order stay in Python."""
    agent = make_agent(name, spec, config, device=device)
    for method in COMPILED:
        setattr(agent, method, torch.compile(getattr(agent, method), dynamic=False))
    return agent


def family_cases(device: torch.device, quick: bool) -> Iterator[tuple[str, Rivals]]:
    spec = TASKS["HalfCheetah"]
    batch = random_batch(spec, 1, 32 if quick else 256, device)
    kinds = [(name, title, more) for name in FAMILY for title, more in ({"": {}} | MORE.get(name, {})).items()]
    for name, title, more in kinds:
        config: dict[str, Any] = (dict(width=64) if quick else {}) | more
        agent = make_agent(name, spec, config, device=device)
        updates: dict[str, Callable[[Batch], object]] = {name: agent.update}
        if not quick:  # a recording takes longer than so few updates
            updates[name] = Graph(agent)
            updates["bf16"] = Graph(make_agent(name, spec, config | BF16, device=device))
        with torch.device(device):
            plain = FAMILY[name](spec.obs_dim, spec.act_dim, **config)
        updates |= {"eager": agent.update, "separate networks": plain.update}
        delay = getattr(agent.config, "policy_delay", 1)
        yield (
            f"{name}, HalfCheetah{title}" + (f", {delay} updates a call" if delay > 1 else ""),
            {side: partial(repeat, update, batch, delay) for side, update in updates.items()},
        )


def random_rollout(spec: Spec, steps: int, device: torch.device) -> Rollout:
    rows = 1, steps, 1
    obs, next_obs = (torch.randn(*rows, spec.obs_dim, device=device) for _ in range(2))
    action, reward, cost = torch.randn(*rows, spec.act_dim, device=device), obs[..., 0], obs[..., 1].abs()
    ended = torch.zeros(rows, device=device)
    ended[:, 999::1000] = 1
    return Rollout(obs, action, reward, cost, next_obs, torch.zeros(rows, device=device), ended)


def on_policy_cases(device: torch.device, quick: bool) -> Iterator[tuple[str, Rivals]]:
    spec, steps = TASKS["HalfCheetah"], 128 if quick else 2_000
    rollout = random_rollout(spec, steps, device)
    for name, plain_version in ON_POLICY.items():
        agent = make_agent(name, spec, dict(iterations=1), device=device)
        with torch.device(device):
            plain = plain_version(spec.obs_dim, spec.act_dim, on_policy.Config.like(agent.config))
        yield (
            f"{name}, HalfCheetah, {steps:,} steps, one pass of the critics",
            {
                name: lambda agent=agent: agent.update(rollout),
                "separate networks": lambda plain=plain: plain.update(rollout),
            },
        )


def cases(device: torch.device, quick: bool) -> Iterator[tuple[str, Rivals]]:
    yield from sl_sac_cases(device, quick)
    yield from family_cases(device, quick)
    yield from on_policy_cases(device, quick)


if __name__ == "__main__":
    main("update", cases)
