"""ALGD on the run axis equals the plain separate-networks version with autograd energies, number for number."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bench.oracle import algd as oracle
from pyslsac import make_agent
from pyslsac.agents.algd import ALGD, ALGDConfig
from pyslsac.data import Batch, Spec
from pyslsac.nn import StackedLinear

SPEC = Spec(obs_dim=5, act_dim=2, horizon=10)
BATCH = 16
SMALL = dict(width=16, score_width=12, level_embedding=4, cost_limit=0.5, polyak=0.05, multiplier_lr=0.01)
OPTIONS = {
    "paper": {},
    "plain, one cost critic": dict(lagrangian="plain", cost_ensemble=1, score_weight=1.0),
    "episodes, steep": dict(multiplier_rule="episodes", rho=5.0, cost_spread=0.3, target_delay=1),
    "three levels, colder": dict(levels=3, weakest_noise=0.05, temperature=0.2, samples=3),
    "principled": dict(score="principled", samples=6, temperature=0.1),
}
PARTS = ("actor", "critics", "cost_critics", "target_critics", "target_cost_critics")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small only wait for one another on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batches(runs: int, dtype: torch.dtype, count: int) -> Iterator[Batch]:
    """Random transitions; run r's do not depend on how many runs there are."""
    generators = [torch.Generator().manual_seed(r) for r in range(runs)]

    def normal(*shape: int) -> Tensor:
        return torch.stack([torch.randn(BATCH, *shape, generator=g) for g in generators]).to(dtype)

    for _ in range(count):
        obs, action, next_obs = normal(SPEC.obs_dim), normal(SPEC.act_dim).tanh(), normal(SPEC.obs_dim)
        yield Batch(obs, action, normal(), normal().abs(), next_obs, (normal() > 1).to(dtype))


def pairs(agent: ALGD, plain: oracle.ALGD, run: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Every slice of the agent's stacked parameters beside the plain parameter it stands for, shaped alike."""
    yield "actor.table", agent.actor.table[run], plain.actor.table.weight
    for part in PARTS:
        stacks = [m for m in getattr(agent, part).modules() if isinstance(m, StackedLinear)]
        module = getattr(plain, part)
        for member, network in enumerate(module if isinstance(module, nn.ModuleList) else [module]):
            linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
            for depth, (stack, linear) in enumerate(zip(stacks, linears, strict=True)):
                where = (run, member) if len(stack.members) == 2 else (run,)
                yield f"{part} {member}.{depth}.weight", stack.weight[where].T, linear.weight
                yield f"{part} {member}.{depth}.bias", stack.bias[where], linear.bias


def plain_twin(agent: ALGD, run: int) -> oracle.ALGD:
    """A plain run that starts where run `run` of the agent stands."""
    names = {field.name for field in dataclasses.fields(oracle.Config)}
    config = oracle.Config(**{k: v for k, v in dataclasses.asdict(agent.config).items() if k in names})
    default = torch.get_default_dtype()
    torch.set_default_dtype(agent.dtype)
    try:
        plain = oracle.ALGD(SPEC.obs_dim, SPEC.act_dim, config, SPEC.horizon)
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for _, ours, theirs in pairs(agent, plain, run):
            theirs.copy_(ours)
    return plain


def train(agent: ALGD, twins: list[oracle.ALGD], updates: int) -> None:
    """The same batches and the same random numbers for both."""
    for batch in batches(agent.runs, agent.dtype, updates):
        draws = agent.draw(BATCH)
        metrics = agent.update(batch)
        for run, plain in enumerate(twins):
            one = Batch(*(getattr(batch, field.name)[run : run + 1] for field in dataclasses.fields(batch)))
            losses = plain.update(one, oracle.Draws(*(x[run : run + 1] for x in draws)))
            names = {"reward_critic": "reward_loss", "cost_critic": "cost_loss"}
            if agent.config.score == "faithful":  # the other's loss lacks the energy, which has no gradient
                names["pi"] = "actor_loss"
            for ours, theirs in names.items():
                assert metrics[f"Loss/Loss_{ours}"][run].item() == pytest.approx(losses[theirs].item(), rel=1e-3)


def distance(agent: ALGD, twins: list[oracle.ALGD]) -> float:
    """The largest difference of any weight, and of the multiplier."""
    far = 0.0
    for run, plain in enumerate(twins):
        for _, ours, theirs in pairs(agent, plain, run):
            far = max(far, (ours.detach().double() - theirs.detach().double()).abs().max().item())
        far = max(far, abs(agent.multiplier.value[run].item() - plain.log_multiplier.exp().item()))
    return far


def make(precision: str, runs: int = 1, seed: int | list[int] = 3, **options: object) -> ALGD:
    return make_agent("algd", SPEC, SMALL | dict(precision=precision) | options, runs=runs, seed=seed)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_plain_version_in_float64(options):
    agent = make("fp64", **options)
    twins = [plain_twin(agent, 0)]
    start = {name: theirs.clone() for name, _, theirs in pairs(agent, twins[0], 0)}
    train(agent, twins, 25)
    assert distance(agent, twins) <= 1e-10
    for name, _, theirs in pairs(agent, twins[0], 0):
        assert not torch.equal(theirs, start[name]), f"{name} has not moved: the test would prove nothing"
    moved = agent.multiplier.value.item() != pytest.approx(agent.config.multiplier_init)
    assert moved == (agent.config.multiplier_rule == "replay")


def test_three_runs_equal_three_plain_versions():
    agent = make("fp64", runs=3, seed=[3, 9, 4])
    twins = [plain_twin(agent, run) for run in range(3)]
    train(agent, twins, 20)
    assert distance(agent, twins) <= 1e-10


def test_float32_is_as_near_to_float64_as_the_plain_version():
    agent, exact = make("fp32"), make("fp64")
    plain, exact_plain = plain_twin(agent, 0), plain_twin(exact, 0)
    train(agent, [plain], 20)
    train(exact, [exact_plain], 20)
    ours = distance(agent, [exact_plain])
    theirs = max(
        (p.detach().double() - q.detach()).abs().max().item()
        for part in PARTS
        for p, q in zip(getattr(plain, part).parameters(), getattr(exact_plain, part).parameters(), strict=True)
    )
    assert 0 < ours <= 3 * theirs


def test_config_defaults_are_the_agents():
    ours = {field.name: field.default for field in dataclasses.fields(ALGDConfig)}
    for field in dataclasses.fields(oracle.Config):
        assert ours[field.name] == field.default
