"""precision="bf16": after a thousand updates the TD targets of the same networks are float32's to a hundredth."""

from __future__ import annotations

import torch
from torch import Tensor

from pyslsac import make_agent
from pyslsac.agents.sl_sac import SLSAC
from pyslsac.data import Batch
from pyslsac.train.graph import Graph
from tests.agents.contract import SPEC, batch_of

SMALL = dict(width=64, ensemble=2, quantiles=8, target_quantiles=8, risk_quantiles=4, cosines=16)
UPDATES, BATCHES = 1_000, 20


def trained(precision: str) -> SLSAC:
    agent = make_agent("sl-sac", SPEC, SMALL | dict(precision=precision))
    update = Graph(agent)
    for number in range(UPDATES):
        update(batch(number % BATCHES))
    return agent


def batch(seed: int) -> Batch:
    return batch_of(seed=seed, size=32)


def targets(agent: SLSAC) -> tuple[Tensor, Tensor]:
    return agent.targets(batch(BATCHES), agent.draw(32))


def distance(some: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> list[float]:
    return [((a - b).norm() / b.norm()).item() for a, b in zip(some, others, strict=True)]


def test_td_targets_differ_by_less_than_a_hundredth() -> None:
    exact, rough = trained("fp32"), trained("bf16")
    apart = distance(targets(rough), targets(exact))
    rough.load_state_dict(exact.state_dict())
    rounding = distance(targets(rough), targets(exact))
    assert all(0 < d < 0.01 for d in rounding) and all(d < 0.05 for d in apart)
    assert exact.critics.layers[0].weight.dtype == rough.critics.layers[0].weight.dtype == torch.float32
