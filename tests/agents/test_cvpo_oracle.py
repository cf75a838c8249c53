"""CVPO on the run axis equals the plain separate-networks version, number for number.

The plain version's own solver of the E-step's dual is SciPy's, which stops early: for equality it is lent the agent's,
whose optimum tests/ops/test_estep_dual.py checks, and the two solvers are compared by themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bench.oracle import cvpo as oracle
from pyslsac import make_agent
from pyslsac.agents.cvpo import CVPO, CVPOConfig
from pyslsac.data import Batch, NStepBatch, Spec
from pyslsac.nn import StackedLinear
from pyslsac.ops import estep_dual
from pyslsac.ops.reference.estep_dual import objective

SPEC = Spec(obs_dim=5, act_dim=2, horizon=20)
BATCH = 16
SMALL = dict(width=16, particles=6, polyak=0.1, critic_lr=1e-2, cost_limit=0.7)
OPTIONS = {
    "default": {},
    "original": dict(
        cost_critics=1, cost_terminates=False, mstep_iters=6, eps_mean=1e-3, eps_std=1e-3, trust_region="clip",
        mle_mean=True, actor_lr=2e-3, actor_grad_norm=0.01,
    ),
    "fsrl": dict(
        reward_critics=1, cost_critics=1, estep_critics="online", eps_dual=0.02, dual_optimizer="adam", mstep_iters=1,
        mle_mean=True, gamma=0.97, cost_gamma=0.97, cost_steps=2,
    ),
    "out of reach": dict(cost_limit=0.0, multiplier_max=3.0),
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small only wait for one another on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
            steps = 1 + (normal() > 0).to(dtype)
            yield NStepBatch(*one, normal(cost_steps).abs(), steps, normal(SPEC.obs_dim), (normal() > 1).to(dtype))


def one_run(batch: Batch, run: int) -> Batch:
    return type(batch)(*(getattr(batch, field.name)[run : run + 1] for field in dataclasses.fields(batch)))


def networks(module: nn.Module) -> list[nn.Module]:
    """The plain networks of an oracle's part, in the order in which a stack holds them."""
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def pairs(agent: CVPO, plain: oracle.CVPO, run: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Every slice of the agent's stacked parameters beside the plain parameter it stands for, shaped alike."""
    for part in ("actor", "critics", "cost_critics", "target_actor", "target_critics", "target_cost_critics"):
        stacks = [m for m in getattr(agent, part).modules() if isinstance(m, StackedLinear)]
        for member, network in enumerate(networks(getattr(plain, part))):
            linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
            for depth, (stack, linear) in enumerate(zip(stacks, linears, strict=True)):
                where = (run, member) if len(stack.members) == 2 else (run,)
                yield f"{part} {member}.{depth}.weight", stack.weight[where].T, linear.weight
                yield f"{part} {member}.{depth}.bias", stack.bias[where], linear.bias


def lent(q_reward: Tensor, q_cost: Tensor, start: tuple[float, float], eps: float, budget: float, maximum: float):
    """The agent's solver behind the plain version's signature."""
    q = torch.stack([q_reward, q_cost])[None].double()
    eta, multiplier = (torch.tensor([x], dtype=torch.float64) for x in start)
    found = estep_dual(q, eta, multiplier, eps, budget, maximum=maximum)
    return found[0].item(), found[1].item()


def plain_twin(agent: CVPO, run: int) -> oracle.CVPO:
    """A plain run that starts where run `run` of the agent stands."""
    names = {field.name for field in dataclasses.fields(oracle.Config)}
    config = oracle.Config(**{k: v for k, v in dataclasses.asdict(agent.config).items() if k in names})
    default = torch.get_default_dtype()
    torch.set_default_dtype(agent.dtype)
    try:
        plain = oracle.CVPO(SPEC.obs_dim, SPEC.act_dim, config, horizon=SPEC.horizon, dual=lent)
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for _, ours, theirs in pairs(agent, plain, run):
            theirs.copy_(ours)
    return plain


def train(agent: CVPO, twins: list[oracle.CVPO], updates: int) -> None:
    """The same batches and the same random numbers for both."""
    sizes = (BATCH, SPEC.act_dim), (BATCH, agent.config.particles, SPEC.act_dim)
    for batch in batches(agent.runs, agent.dtype, updates, agent.config.cost_steps):
        noise = [agent.normals(size, stream, agent.counters["updates"]) for stream, size in enumerate(sizes, 1)]
        metrics = agent.update(batch)
        for run, plain in enumerate(twins):
            losses = plain.update(one_run(batch, run), oracle.Draws(*(n[run : run + 1] for n in noise)))
            for name, loss in (("reward_critic", "reward_loss"), ("cost_critic", "cost_loss"), ("pi", "actor_loss")):
                assert metrics[f"Loss/Loss_{name}"][run].item() == pytest.approx(losses[loss].item(), rel=1e-3)


def distance(agent: CVPO, twins: list[oracle.CVPO]) -> float:
    """The largest difference of any weight and dual."""
    far = 0.0
    for run, plain in enumerate(twins):
        duals = [(agent.dual.eta[run], plain.eta), (agent.dual.multiplier[run], plain.multiplier)]
        duals += [(agent.trust.x[run], plain.trust)]
        for ours, theirs in [pair[1:] for pair in pairs(agent, plain, run)] + duals:
            far = max(far, (ours.detach().double() - theirs.detach().double()).abs().max().item())
    return far


def make(precision: str, runs: int = 1, **options: object) -> CVPO:
    return make_agent("cvpo", SPEC, SMALL | dict(precision=precision) | options, runs=runs, seed=3)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_plain_version_in_float64(options):
    agent = make("fp64", **options)
    twins = [plain_twin(agent, 0)]
    start = {name: theirs.clone() for name, _, theirs in pairs(agent, twins[0], 0)}
    train(agent, twins, 30)
    assert distance(agent, twins) <= 1e-10
    for name, _, theirs in pairs(agent, twins[0], 0):
        assert not torch.equal(theirs, start[name]), f"{name} has not moved: the test would prove nothing"
    assert twins[0].eta != 1 and twins[0].multiplier > 0 and (twins[0].trust != 0).any()


def test_two_runs_equal_two_plain_versions():
    agent = make("fp64", runs=2)
    twins = [plain_twin(agent, run) for run in range(2)]
    train(agent, twins, 20)
    assert distance(agent, twins) <= 1e-10


def test_float32_stays_near():
    agent = make("fp32")
    twins = [plain_twin(agent, 0)]
    train(agent, twins, 1)
    assert distance(agent, twins) <= 1e-4


def test_newton_goes_lower_than_ten_steps_of_slsqp():
    generator = torch.Generator().manual_seed(0)
    for scale in (0.1, 1.0, 10.0):
        q = scale * torch.randn(2, 64, 16, generator=generator, dtype=torch.float64)
        budget = -0.3 * scale
        ends = [find(*q, (1.0, 0.5), 0.1, budget, 20.0) for find in (lent, oracle.slsqp)]
        g = objective(q[None], *torch.tensor(ends, dtype=torch.float64).T[:, None], 0.1, budget)[0]
        assert g[0] <= g[1] + 1e-12 * scale
        assert g[1] - g[0] < 0.05 * scale  # and both minimise the same function


def test_config_defaults_are_the_agents():
    ours = {field.name: field.default for field in dataclasses.fields(CVPOConfig)}
    for field in dataclasses.fields(oracle.Config):
        assert ours[field.name] == field.default
