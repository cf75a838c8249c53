"""NC-LQL, LQL and the safe form on the run axis equal the plain separate-networks version, number for number."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bench.oracle import nc_lql as oracle
from pyslsac import make_agent
from pyslsac.agents.base import STREAMS
from pyslsac.agents.lql import LQLConfig
from pyslsac.agents.nc_lql import LEVEL, NCLQL, TAIL, TARGET, NCLQLConfig
from pyslsac.data import Batch, NStepBatch, Spec
from pyslsac.ops import philox_normal

SPEC = Spec(obs_dim=5, act_dim=2)
BATCH = 16
SMALL = dict(width=16, polyak=0.05, critic_lr=1e-3)
CASES = {
    "paper": ("nc-lql", {}),
    "few levels, raw gradient": ("nc-lql", dict(levels=3, repeats=1, normalize=False, drift_scale=0.3)),
    "particles": ("nc-lql", dict(particles=3, levels=4)),
    "lql": ("lql", dict(repeats=8)),
    "lql, Boltzmann": ("lql", dict(repeats=5, alpha=0.01, particles=2)),
    "safe": ("safe-nc-lql", dict(levels=5)),
    "safe, costs of three steps, particles": ("safe-nc-lql", dict(cost_steps=3, particles=2, levels=3)),
}


def batches(runs: int, dtype: torch.dtype, count: int, cost_steps: int = 1) -> Iterator[Batch]:
    """Random transitions; run r's do not depend on how many runs there are."""
    generators = [torch.Generator().manual_seed(r) for r in range(runs)]

    def normal(*shape: int) -> Tensor:
        return torch.stack([torch.randn(BATCH, *shape, generator=g) for g in generators]).to(dtype)

    for _ in range(count):
        obs, action, next_obs = normal(SPEC.obs_dim), normal(SPEC.act_dim).tanh(), normal(SPEC.obs_dim)
        one = obs, action, normal(), normal().abs(), next_obs, (normal() > 1).to(dtype)
        if cost_steps == 1:
            yield Batch(*one)
        else:
            steps = 1 + (normal().abs() * 2).floor().clamp(max=cost_steps - 1)
            later = normal(cost_steps).abs() * (torch.arange(cost_steps) < steps.unsqueeze(-1))
            yield NStepBatch(*one, later, steps, normal(SPEC.obs_dim), (normal() > 1).to(dtype))


def one_run(batch: Batch, run: int) -> Batch:
    return type(batch)(*(getattr(batch, field.name)[run : run + 1] for field in dataclasses.fields(batch)))


def chain_draws(agent: NCLQL, stream: int, run: int) -> oracle.Chain:
    """The numbers of the agent's next chain from BATCH observations."""
    count, rows = agent.counters["updates"], BATCH * agent.config.particles
    start = 2 * agent.uniforms((rows, SPEC.act_dim), stream, count) - 1
    first, stream = count * agent.plan.steps, STREAMS + stream + 1
    shape = (agent.runs, rows, SPEC.act_dim)
    steps = range(first, first + agent.plan.steps)
    noise = [philox_normal(shape, agent.noise_seed, step, stream=stream, dtype=agent.dtype)[run] for step in steps]
    return oracle.Chain(start[run], torch.stack(noise))


def draws_of(agent: NCLQL, run: int) -> oracle.Draws:
    """The random numbers of the agent's next update, for run `run`."""
    count = agent.counters["updates"]
    level = torch.zeros(agent.runs, BATCH, dtype=torch.int64)
    if agent.config.levels > 1:
        level, _ = agent.draw(BATCH)
    noise = agent.normals((BATCH, SPEC.act_dim), LEVEL + 1, count)
    return oracle.Draws(chain_draws(agent, TARGET, run), chain_draws(agent, TAIL, run), level[run], noise[run])


def pairs(agent: NCLQL, plain: oracle.NCLQL, run: int) -> Iterator[tuple[str, Tensor, nn.Parameter]]:
    """Every slice of the agent's stacked parameters beside the plain parameter it stands for, shaped alike."""
    for part in ("critics", "target_critics"):
        stack = getattr(agent, part)
        nets = [*getattr(plain, part)]
        if agent.config.constrained:
            nets += getattr(plain, part.replace("critics", "cost_critics"))
        assert stack.members == (agent.runs, len(nets))
        for member, net in enumerate(nets):
            linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
            for depth, (ours, theirs) in enumerate(zip([*stack.embed, *stack.layers], linear, strict=True)):
                yield f"{part} {member}.{depth}.weight", ours.weight[run, member].T, theirs.weight
                yield f"{part} {member}.{depth}.bias", ours.bias[run, member], theirs.bias


def plain_twin(agent: NCLQL, run: int) -> oracle.NCLQL:
    """A plain run that starts where run `run` of the agent stands."""
    kind = oracle.LQLConfig if isinstance(agent.config, LQLConfig) else oracle.Config
    names = {field.name for field in dataclasses.fields(kind)}
    config = kind(**{k: v for k, v in dataclasses.asdict(agent.config).items() if k in names})
    default = torch.get_default_dtype()
    torch.set_default_dtype(agent.dtype)
    try:
        plain = oracle.NCLQL(SPEC.obs_dim, SPEC.act_dim, config)
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for _, ours, theirs in pairs(agent, plain, run):
            theirs.copy_(ours)
    sizes = agent.plan.step_size[:: agent.config.repeats, 0].tolist()
    assert plain.eps == pytest.approx(sizes, rel=1e-5)
    plain.eps = sizes  # the schedule's ratios are rounded to float32
    torch.testing.assert_close(plain.sigma, agent.sigma)
    plain.multiplier = agent.multiplier.value[run].item()
    return plain


def train(agent: NCLQL, twins: list[oracle.NCLQL], updates: int) -> None:
    """The same batches and the same random numbers for both."""
    names = {"loss": "Loss_reward_critic", "cost_loss": "Loss_cost_critic", "level_loss": "Loss_level"}
    names["cost_level_loss"] = "Loss_cost_level"
    for batch in batches(agent.runs, agent.dtype, updates, agent.config.cost_steps):
        draws = [draws_of(agent, run) for run in range(agent.runs)]
        metrics = agent.update(batch)
        for run, plain in enumerate(twins):
            losses = plain.update(one_run(batch, run), draws[run])
            assert sum(name.startswith("Loss/") for name in metrics) == len(losses)
            for name, loss in losses.items():
                assert metrics[f"Loss/{names[name]}"][run].item() == pytest.approx(loss.item(), rel=1e-8)


def distance(agent: NCLQL, twins: list[oracle.NCLQL]) -> float:
    """The largest difference of any weight."""
    far = 0.0
    for run, plain in enumerate(twins):
        for _, ours, theirs in pairs(agent, plain, run):
            far = max(far, (ours.detach().double() - theirs.detach().double()).abs().max().item())
    return far


@pytest.mark.parametrize(("algo", "options"), CASES.values(), ids=CASES.keys())
def test_equals_the_plain_version_in_float64(algo, options):
    agent = make_agent(algo, SPEC, SMALL | options | dict(precision="fp64"), seed=3)
    agent.multiplier.value += 0.3
    twins = [plain_twin(agent, 0)]
    start = {name: theirs.clone() for name, _, theirs in pairs(agent, twins[0], 0)}
    train(agent, twins, 20)
    assert distance(agent, twins) <= 1e-10
    for name, _, theirs in pairs(agent, twins[0], 0):
        assert not torch.equal(theirs, start[name]), f"{name} has not moved: the test would prove nothing"


def test_three_runs_equal_three_plain_versions():
    agent = make_agent(
        "safe-nc-lql", SPEC, SMALL | dict(precision="fp64", levels=3, repeats=1, particles=2), runs=3, seed=[3, 9, 4]
    )
    agent.multiplier.value += torch.tensor([0.1, 0.5, 2.0])
    twins = [plain_twin(agent, run) for run in range(3)]
    train(agent, twins, 20)
    assert distance(agent, twins) <= 1e-10


def test_float32_follows_float64():
    """The compiled chain from the same weights; the gradient is raw: a normalised one jumps where Q has its peak."""
    options = SMALL | dict(normalize=False, drift_scale=0.5, multiplier_init=0.5)
    ours, exact = (make_agent("safe-nc-lql", SPEC, options | dict(precision=p), seed=3) for p in ("fp32", "fp64"))
    for batch in batches(1, torch.float32, 10):
        metrics, wanted = ours.update(batch), exact.update(batch)
        for name, value in wanted.items():
            torch.testing.assert_close(metrics[name].double(), value, rtol=1e-4, atol=1e-5)


def test_config_defaults_are_the_agents():
    for kind, plain in ((NCLQLConfig, oracle.Config), (LQLConfig, oracle.LQLConfig)):
        ours = {field.name: field.default for field in dataclasses.fields(kind)}
        for field in dataclasses.fields(plain):
            assert ours[field.name] == field.default
