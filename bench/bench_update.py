"""One gradient update of SL-SAC against the plain separate-networks version, and runs in lockstep against runs apart.

Paper networks: E = 3 twin pairs, 2 x 256, 32 quantiles, batch 256. A call is `policy_delay` updates, so that each holds
one move of the actor and the targets; both sides draw their random numbers inside the call.
"""

from collections.abc import Callable, Iterator

import torch
from _timing import main
from oracle import sl_sac as oracle

from pyslsac import make_agent
from pyslsac.data import Batch, Spec

TASKS = {"HalfCheetah": Spec(obs_dim=17, act_dim=6), "Ant": Spec(obs_dim=27, act_dim=8)}
SMALL = dict(width=32, quantiles=4, target_quantiles=4, risk_quantiles=4)
RUNS = 4


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


def cases(device: torch.device, quick: bool) -> Iterator[tuple[str, dict[str, Callable[[], object]]]]:
    options = SMALL if quick else {}
    for task, spec in TASKS.items():
        one, many = (random_batch(spec, runs, 32 if quick else 256, device) for runs in (1, RUNS))
        for delay in (1, 2):
            config = options | {"policy_delay": delay}
            agent = make_agent("sl-sac", spec, config, device=device)
            with torch.device(device):
                plain = oracle.SLSAC(spec.obs_dim, spec.act_dim, oracle.Config(**config))

            def repeat(update: Callable[[Batch], object], batch: Batch, delay: int = delay) -> None:
                for _ in range(delay):
                    update(batch)

            yield (
                f"{task}, actor every {'update' if delay == 1 else f'{delay} updates'}, {delay} updates a call",
                {
                    "sl-sac": lambda repeat=repeat, agent=agent, one=one: repeat(agent.update, one),
                    "separate networks": lambda repeat=repeat, plain=plain, one=one: repeat(plain.update, one),
                },
            )
        lockstep = make_agent("sl-sac", spec, options, runs=RUNS, device=device)
        apart = [make_agent("sl-sac", spec, options, device=device, seed=run) for run in range(RUNS)]
        yield (
            f"{task}, {RUNS} runs, 2 updates of each a call",
            {
                f"{RUNS} runs in lockstep": lambda agent=lockstep, many=many: [agent.update(many) for _ in range(2)],
                f"{RUNS} agents, one after another": lambda agents=apart, one=one: [
                    agent.update(one) for agent in agents for _ in range(2)
                ],
            },
        )


if __name__ == "__main__":
    main("update", cases)
