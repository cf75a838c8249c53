"""SL-SAC on the run axis equals the plain separate-networks version, number for number."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bench.oracle import sl_sac as oracle
from pyslsac import make_agent
from pyslsac.agents.sl_sac import SLSAC, SLSACConfig
from pyslsac.data import Batch, Spec
from pyslsac.nn import StackedLinear
from pyslsac.ops import philox_normal
from pyslsac.optim import ASGLD

SPEC = Spec(obs_dim=5, act_dim=2)
BATCH = 16
SMALL = dict(
    width=16, ensemble=2, quantiles=6, target_quantiles=5, risk_quantiles=4, cosines=8, multiplier_init=0.3, polyak=0.05
)
OPTIONS = {
    "paper": {},
    "min": dict(aggregation="min"),
    "one pair, alpha learned, no delay": dict(ensemble=1, alpha="auto", policy_delay=1),
    "noise that moves weights": dict(temperature=1e-6, cost_optimizer="asgld"),
    "noise, preconditioned": dict(temperature=1e-6, variant="asgld-preconditioned", clip=None),
    "psgld": dict(variant="psgld", clip="drift_norm", critic_lr=1e-3),
    "sgld": dict(variant="sgld", clip="drift_value", clip_threshold=0.05, critic_lr=1e-2),
    "adam": dict(reward_optimizer="adam", risk_level=0.1, kappa=0.3),
    "adamw": dict(reward_optimizer="adamw", risk_level=1.0, actor_grad_norm=0.01),
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
        obs, action, next_obs = normal(SPEC.obs_dim), normal(SPEC.act_dim).tanh(), normal(SPEC.obs_dim)
        yield Batch(obs, action, normal(), normal().abs(), next_obs, (normal() > 1).to(dtype))


def one_run(batch: Batch, run: int) -> Batch:
    return Batch(*(getattr(batch, field.name)[run : run + 1] for field in dataclasses.fields(batch)))


def networks(module: nn.Module) -> list[nn.Module]:
    """The plain networks of an oracle's part, in the order in which a stack holds them."""
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def pairs(agent: SLSAC, plain: oracle.SLSAC, run: int) -> Iterator[tuple[str, Tensor, nn.Parameter]]:
    """Every slice of the agent's stacked parameters beside the plain parameter it stands for, shaped alike."""
    for part in ("actor", "critics", "cost_critic", "target_critics", "target_cost_critic"):
        stacks = [m for m in getattr(agent, part).modules() if isinstance(m, StackedLinear)]
        for member, network in enumerate(networks(getattr(plain, part))):
            for depth, (stack, linear) in enumerate(zip(stacks, layers(network), strict=True)):
                where = (run, member) if len(stack.members) == 2 else (run,)
                yield f"{part} {member}.{depth}.weight", stack.weight[where].T, linear.weight
                yield f"{part} {member}.{depth}.bias", stack.bias[where], linear.bias


def layers(network: nn.Module) -> list[nn.Linear]:
    return [m for m in network.modules() if isinstance(m, nn.Linear)]


class SharedNoise:
    """The normals that the agent's ASGLD uses for run `run`, for the plain parameters in the order it asks for them."""

    def __init__(self, agent: SLSAC, plain: oracle.SLSAC, run: int) -> None:
        self.normals: dict[nn.Parameter, list[Tensor]] = {}
        for part, optimizer in (("critics", agent.reward_optim), ("cost_critic", agent.cost_optim)):
            if isinstance(optimizer, ASGLD):
                self._share(getattr(agent, part), networks(getattr(plain, part)), optimizer, run)
        self.steps = dict.fromkeys(self.normals, 0)

    def _share(self, module: nn.Module, plain: list[nn.Module], optimizer: ASGLD, run: int) -> None:
        group = optimizer.param_groups[0]
        positions = {id(param): position for position, param in enumerate(group["params"])}
        stacks = [m for m in module.modules() if isinstance(m, StackedLinear)]
        for depth, stack in enumerate(stacks):
            for name in ("weight", "bias"):
                param = getattr(stack, name)
                stream, seed = positions[id(param)], group["seed"]
                normals = [philox_normal(param.shape, seed, step, stream=stream)[run] for step in range(100)]
                for member, network in enumerate(plain):
                    slices = [n[member] if len(stack.members) == 2 else n for n in normals]
                    self.normals[getattr(layers(network)[depth], name)] = [s.mT if s.dim() == 2 else s for s in slices]

    def __call__(self, param: Tensor) -> Tensor:
        step = self.steps[param]
        self.steps[param] += 1
        return self.normals[param][step].to(param.dtype, copy=True)


def plain_twin(agent: SLSAC, run: int) -> oracle.SLSAC:
    """A plain run that starts where run `run` of the agent stands."""
    names = {field.name for field in dataclasses.fields(oracle.Config)}
    config = oracle.Config(**{k: v for k, v in dataclasses.asdict(agent.config).items() if k in names})
    default = torch.get_default_dtype()
    torch.set_default_dtype(agent.dtype)
    try:
        plain = oracle.SLSAC(SPEC.obs_dim, SPEC.act_dim, config)
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for _, ours, theirs in pairs(agent, plain, run):
            theirs.copy_(ours)
    noise = SharedNoise(agent, plain, run)
    for optimizer in (plain.reward_optim, plain.cost_optim):
        if isinstance(optimizer, oracle.ASGLD):
            optimizer.noise = noise
    return plain


def train(agent: SLSAC, twins: list[oracle.SLSAC], updates: int) -> None:
    """The same batches and the same random numbers for both."""
    for batch in batches(agent.runs, agent.dtype, updates):
        draws = agent.draw(BATCH)
        metrics = agent.update(batch)
        for run, plain in enumerate(twins):
            own = type(draws)(*(getattr(draws, f.name)[run : run + 1] for f in dataclasses.fields(draws)))
            losses = plain.update(one_run(batch, run), own)
            assert metrics["Loss/Loss_reward_critic"][run].item() == pytest.approx(
                losses["reward_loss"].item(), rel=1e-3
            )
            assert metrics["Loss/Loss_cost_critic"][run].item() == pytest.approx(losses["cost_loss"].item(), rel=1e-3)


def distance(agent: SLSAC, twins: list[oracle.SLSAC]) -> float:
    """The largest difference of any weight, alpha included."""
    far = 0.0
    for run, plain in enumerate(twins):
        for _, ours, theirs in pairs(agent, plain, run):
            far = max(far, (ours.detach().double() - theirs.detach().double()).abs().max().item())
        far = max(far, abs(agent.alpha.value[run].item() - plain.log_alpha.exp().item()))
    return far


def make(precision: str, runs: int = 1, seed: int | list[int] = 3, **options: object) -> SLSAC:
    agent = make_agent("sl-sac", SPEC, SMALL | dict(precision=precision) | options, runs=runs, seed=seed)
    agent.multiplier.value += torch.arange(runs) * 0.1
    return agent


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_plain_version_in_float64(options):
    agent = make("fp64", **options)
    twins = [plain_twin(agent, 0)]
    start = {name: theirs.clone() for name, _, theirs in pairs(agent, twins[0], 0)}
    train(agent, twins, 100)
    assert distance(agent, twins) <= 1e-10
    for name, _, theirs in pairs(agent, twins[0], 0):
        assert not torch.equal(theirs, start[name]), f"{name} has not moved: the test would prove nothing"


def test_four_runs_equal_four_plain_versions():
    agent = make("fp64", runs=4, temperature=1e-8)
    twins = [plain_twin(agent, run) for run in range(4)]
    for run, plain in enumerate(twins):
        plain.multiplier = agent.multiplier.value[run].item()
    train(agent, twins, 100)
    assert distance(agent, twins) <= 1e-10


def test_four_runs_equal_four_agents_alone():
    together = make("fp64", runs=4, seed=[3, 9, 4, 1])
    alone = [make("fp64", seed=[seed]) for seed in (3, 9, 4, 1)]
    for run, agent in enumerate(alone):
        agent.multiplier.value += 0.1 * run
    for batch in batches(4, torch.float64, 100):
        together.update(batch)
        for run, agent in enumerate(alone):
            agent.update(one_run(batch, run))
    for run, agent in enumerate(alone):
        for name in ("actor", "critics", "cost_critic", "target_critics", "target_cost_critic"):
            stacked = getattr(together, name).state_dict()
            for key, value in getattr(agent, name).state_dict().items():
                if stacked[key].shape[0] == 4:
                    assert (stacked[key][run] - value[0]).abs().max() <= 1e-10, f"{name}.{key} of run {run}"


@pytest.mark.parametrize("options", [{}, OPTIONS["one pair, alpha learned, no delay"]], ids=["paper", "alpha learned"])
def test_float32_is_as_near_to_float64_as_the_plain_version(options):
    agent = make("fp32", **options)
    plain = plain_twin(agent, 0)
    train(agent, [plain], 1)
    assert distance(agent, [plain]) <= 1e-5

    agent, exact = make("fp32", **options), make("fp64", **options)  # initial weights are drawn in float32
    plain, exact_plain = plain_twin(agent, 0), plain_twin(exact, 0)
    assert distance(agent, [exact_plain]) <= 1e-7  # alpha's rounding
    train(agent, [plain], 100)
    train(exact, [exact_plain], 100)
    ours = distance(agent, [exact_plain])
    theirs = max(
        (p.detach().double() - q.detach()).abs().max().item()
        for part in ("actor", "critics", "cost_critic", "target_critics", "target_cost_critic")
        for p, q in zip(getattr(plain, part).parameters(), getattr(exact_plain, part).parameters(), strict=True)
    )
    assert 0 < ours <= 3 * theirs


def test_multiplier_follows_eq_10():
    config = dict(multiplier_warmup=3, multiplier_lr=0.01, multiplier_window=4, risk_level=0.5, cost_limit=10.0)
    agent = make("fp64", **config)
    plain = plain_twin(agent, 0)
    for step, cost in enumerate([30.0, 2.0, 11.0, 4.0, 50.0] + 15 * [0.0]):
        agent.record_episode(0, cost)
        plain.record_episode(cost)
        for _ in range(2):
            plain.after_env_step()
        agent.after_env_steps(2)
        assert agent.multiplier.value.item() == pytest.approx(plain.multiplier, abs=1e-12), f"after episode {step}"
    assert plain.multiplier == 0.0  # fifteen quiet episodes brought it down to its bound


def test_config_defaults_are_the_agents():
    ours = {field.name: field.default for field in dataclasses.fields(SLSACConfig)}
    for field in dataclasses.fields(oracle.Config):
        assert ours[field.name] == field.default
