"""LAC on the run axis equals the plain separate-networks version, number for number."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bench.oracle import lac as oracle
from pyslsac import make_agent
from pyslsac.agents.base import STREAMS
from pyslsac.agents.lac import LAC, LACConfig
from pyslsac.data import Batch, Spec
from pyslsac.nn import StackedLinear
from pyslsac.ops import philox_normal

SPEC = Spec(obs_dim=5, act_dim=2)
BATCH, PARTS = 12, ("generator", "critics", "cost_critics", "target_generator", "target_critics", "target_cost_critics")
SMALL = dict(width=16, generator_width=16, chain_steps=4, multiplier_init=0.3, polyak=0.05)
OPTIONS = {
    "paper": {},
    "a large step, a cap that bites": dict(step_size=0.05, kl_coef=0.1, grad_cap=2.0, critic_lr=1e-3),
    "a cap per action, KL": dict(step_size=0.02, kl_coef=0.1, grad_cap=0.5, grad_cap_scope="sample", generator_kl=5.0),
    "no cap, no noise, clipped generator": dict(temperature=0.0, grad_cap=None, generator_grad_norm=0.01),
    "raw observations, discounted costs": dict(obs_normalize=False, cost_gamma=0.9, gamma=0.8, step_size=0.01),
}


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
        obs, action, next_obs = 3 * normal(SPEC.obs_dim), normal(SPEC.act_dim).tanh(), 3 * normal(SPEC.obs_dim)
        yield Batch(obs, action, normal(), normal().abs(), next_obs, (normal() > 1).to(dtype))


def one_run(batch: Batch, run: int) -> Batch:
    return Batch(*(getattr(batch, field.name)[run : run + 1] for field in dataclasses.fields(batch)))


def pairs(agent: LAC, plain: oracle.LAC, run: int) -> Iterator[tuple[str, Tensor, nn.Parameter]]:
    """Every slice of the agent's stacked parameters beside the plain parameter it stands for, shaped alike."""
    for part in PARTS:
        ours, theirs = getattr(agent, part), getattr(plain, part)
        stacks = [m for m in ours.modules() if isinstance(m, StackedLinear)]
        for member, network in enumerate(theirs if isinstance(theirs, nn.ModuleList) else [theirs]):
            linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
            for depth, (stack, linear) in enumerate(zip(stacks, linears, strict=True)):
                where = (run, member) if len(stack.members) == 2 else (run,)
                yield f"{part} {member}.{depth}.weight", stack.weight[where].T, linear.weight
                yield f"{part} {member}.{depth}.bias", stack.bias[where], linear.bias
        if "generator" in part:
            yield f"{part} log_std", ours.log_std[run], theirs.log_std


def plain_twin(agent: LAC, run: int) -> oracle.LAC:
    """A plain run that starts where run `run` of the agent stands."""
    names = {field.name for field in dataclasses.fields(oracle.Config)}
    config = oracle.Config(**{k: v for k, v in dataclasses.asdict(agent.config).items() if k in names})
    default = torch.get_default_dtype()
    torch.set_default_dtype(agent.dtype)
    try:
        plain = oracle.LAC(SPEC.obs_dim, SPEC.act_dim, config)
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for _, ours, theirs in pairs(agent, plain, run):
            theirs.copy_(ours)
    plain.multiplier = agent.multiplier.value[run].item()
    return plain


def draws_of(agent: LAC) -> oracle.Draws:
    """The normals of the agent's next update, with the run axis behind the moves."""
    update, shape, seed = agent.counters["updates"], (agent.runs, BATCH, SPEC.act_dim), agent.noise_seed
    steps = [update * agent.config.chain_steps + k for k in range(agent.config.chain_steps)]
    moves = [philox_normal(shape, seed, step, stream=STREAMS + 2, dtype=agent.dtype) for step in steps]
    return oracle.Draws(agent.normals(shape[1:], 1, update), torch.stack(moves))


def train(agent: LAC, twins: list[oracle.LAC], updates: int) -> None:
    """The same observations, batches and random numbers for both; an iteration ends every seven updates."""
    for number, batch in enumerate(batches(agent.runs, agent.dtype, updates)):
        seen = batch.obs[:, :3].float() + 1
        agent.observe(seen)
        draws = draws_of(agent)
        metrics = agent.update(batch)
        for run, plain in enumerate(twins):
            plain.observe(seen[run])
            losses = plain.update(one_run(batch, run), oracle.Draws(draws.start[run], draws.moves[:, run]))
            for ours, theirs in (("reward_critic", "reward_loss"), ("cost_critic", "cost_loss"), ("pi", "nll")):
                assert metrics[f"Loss/Loss_{ours}"][run].item() == pytest.approx(losses[theirs].item(), rel=1e-3)
            for cost in (40.0, 26.0 + number):
                agent.record_episode(run, cost)
                plain.record_episode(cost)
            if number % 7 == 6:
                plain.end_iteration()
        agent.after_env_steps(agent.config.multiplier_interval if number % 7 == 6 else 0)


def distance(agent: LAC, twins: list[oracle.LAC]) -> float:
    """The largest difference of any weight, and of the multiplier and its cap."""
    far = 0.0
    for run, plain in enumerate(twins):
        for _, ours, theirs in pairs(agent, plain, run):
            far = max(far, (ours.detach().double() - theirs.detach().double()).abs().max().item())
        far = max(far, abs(agent.multiplier.value[run].item() - plain.multiplier))
        far = max(far, abs(agent.multiplier.maximum[run].item() - plain.multiplier_max))
    return far


def make(precision: str, runs: int = 1, seed: int | list[int] = 3, **options: object) -> LAC:
    agent = make_agent("lac", SPEC, SMALL | dict(precision=precision) | options, runs=runs, seed=seed)
    agent.multiplier.value += torch.arange(runs) * 0.1
    return agent


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_plain_version_in_float64(options):
    agent = make("fp64", **options)
    twins = [plain_twin(agent, 0)]
    start = {name: theirs.clone() for name, _, theirs in pairs(agent, twins[0], 0)}
    train(agent, twins, 21)
    assert distance(agent, twins) <= 1e-10
    assert twins[0].multiplier != 0.3 and twins[0].multiplier_max != 2.0
    for name, _, theirs in pairs(agent, twins[0], 0):
        assert not torch.equal(theirs, start[name]), f"{name} has not moved: the test would prove nothing"


def test_three_runs_equal_three_plain_versions():
    agent = make("fp64", runs=3, step_size=0.02, kl_coef=0.1, grad_cap=3.0)
    twins = [plain_twin(agent, run) for run in range(3)]
    train(agent, twins, 20)
    assert distance(agent, twins) <= 1e-10


def test_float32_is_as_near_to_float64_as_the_plain_version():
    agent, exact = make("fp32"), make("fp64")  # initial weights are drawn in float32
    plain, exact_plain = plain_twin(agent, 0), plain_twin(exact, 0)
    assert distance(agent, [exact_plain]) <= 1e-7
    train(agent, [plain], 10)
    train(exact, [exact_plain], 10)
    ours = max((a.double() - b).abs().max().item() for _, a, b in pairs(agent, exact_plain, 0))
    theirs = max(
        (p.detach().double() - q.detach()).abs().max().item()
        for part in PARTS
        for p, q in zip(getattr(plain, part).parameters(), getattr(exact_plain, part).parameters(), strict=True)
    )
    assert 0 < ours <= 3 * theirs


def test_config_defaults_are_the_agents():
    ours = {field.name: field.default for field in dataclasses.fields(LACConfig)}
    for field in dataclasses.fields(oracle.Config):
        assert ours[field.name] == field.default
    assert math.isinf(oracle.LAC(2, 1, oracle.Config(multiplier_max=None)).multiplier_max)
