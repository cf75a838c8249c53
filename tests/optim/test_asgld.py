"""ASGLD as an optimizer of torch: the bits of SGD, the law it samples, lost noise, checkpoints, scalers, schedulers."""

import copy
import io

import pytest
import torch
from torch import nn

from pyslsac.optim import ASGLD


def model(dtype: torch.dtype = torch.float32, width: int = 37) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, 3)).to(dtype)


def backward(net: nn.Module, k: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(k)
    inputs = torch.randn(16, 5, generator=generator).to(next(net.parameters()).dtype)
    net.zero_grad()
    loss = net(inputs).square().mean()
    loss.backward()
    return loss


def train(net: nn.Module, optimizer: torch.optim.Optimizer, count: int, start: int = 0) -> nn.Module:
    for k in range(start, start + count):
        backward(net, k)
        optimizer.step()
    return net


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("maximize", [False, True])
def test_without_noise_bias_and_clip_it_is_sgd_bit_for_bit(
    dtype: torch.dtype, fused: bool | None, maximize: bool
) -> None:
    common = dict(lr=0.01, weight_decay=0.1, maximize=maximize)
    a, b = model(dtype), model(dtype)
    ours = ASGLD(a.parameters(), temperature=0.0, bias=0.0, clip=None, fused=fused, **common)
    assert equal(train(a, ours, 30), train(b, torch.optim.SGD(b.parameters(), **common), 30))


def test_sgld_samples_the_gaussian_of_a_quadratic() -> None:
    """U = x'Ax/2 at temperature T has the stationary law N(0, T A^-1), up to O(lr): 4,000 chains of two weights."""
    hessian, temperature = torch.tensor([[2.0, 0.8], [0.8, 1.0]]), 0.5
    chains = nn.Parameter(torch.zeros(4000, 2))
    optimizer = ASGLD([chains], lr=0.02, variant="sgld", clip=None, temperature=temperature, seed=1)
    for _ in range(400):
        chains.grad = chains.detach() @ hessian
        optimizer.step()
    identity = torch.eye(2)
    # lr > 0: C = (I - lr A) C (I - lr A) + 2 lr T I, that is C = T (A - lr A²/2)^-1
    wanted = temperature * torch.linalg.solve(hessian - 0.01 * hessian @ hessian, identity)
    assert chains.detach().mean(0).abs().max() < 5 * (wanted.diagonal().max() / 4000) ** 0.5
    torch.testing.assert_close(chains.detach().T.cov(), wanted, rtol=0.12, atol=0.03)


@pytest.mark.parametrize("fused", [None, False])
def test_float32_loses_the_noise_and_compensation_keeps_it(fused: bool | None) -> None:
    """Zero gradient, temperature 1e-16, lr 3e-4: sigma = 2.4e-10 moves no weight of 0.06 or more."""
    start = torch.cat([torch.linspace(0.06, 2.0, 4000), -torch.linspace(0.06, 2.0, 4000)])
    moved = {}
    for compensated in (False, True):
        weights = nn.Parameter(start.clone())
        optimizer = ASGLD([weights], seed=0, compensated=compensated, fused=fused)
        for _ in range(100):
            weights.grad = torch.zeros_like(weights)
            optimizer.step()
        moved[compensated] = weights.detach().double() - start
        if compensated:
            moved[True] += optimizer.state[weights]["residual"]
    assert not moved[False].any()
    assert moved[True].std() == pytest.approx(10 * (2 * 3e-4 * 1e-16) ** 0.5, rel=0.03)


def test_compensated_bfloat16_follows_float32() -> None:
    ends = {}
    for dtype, compensated in ((torch.float32, False), (torch.bfloat16, False), (torch.bfloat16, True)):
        weights = nn.Parameter(torch.ones(64, dtype=dtype))
        optimizer = ASGLD([weights], lr=1e-4, temperature=0.0, compensated=compensated, clip=None)
        for _ in range(200):
            weights.grad = torch.ones_like(weights)
            optimizer.step()
        ends[dtype, compensated] = weights.detach().float()
        assert optimizer.state[weights]["exp_avg"].dtype == torch.float32
    assert (ends[torch.bfloat16, False] == 1.0).all()  # every step is under half a unit: lost
    torch.testing.assert_close(ends[torch.bfloat16, True], ends[torch.float32, False], rtol=2**-8, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("capturable", [None, True, False])
def test_a_checkpoint_loses_nothing(dtype: torch.dtype, capturable: bool | None) -> None:
    fields = dict(lr=1e-2, temperature=1e-4, compensated=True, capturable=capturable)
    a = model(dtype)
    first = ASGLD(a.named_parameters(), seed=11, **fields)
    backward(a)
    first.step()
    for state in first.state.values():
        state["step"] += 2**24 + 1
    train(a, first, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    b = copy.deepcopy(a)
    second = ASGLD(b.named_parameters(), seed=12, **fields)
    second.load_state_dict(torch.load(file, weights_only=True))
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        for name in ("step", "exp_avg", "exp_avg_sq", "residual"):
            kept, loaded = first.state[p][name], second.state[q][name]
            assert kept.dtype == loaded.dtype and torch.equal(kept, loaded) and kept.data_ptr() != loaded.data_ptr()
    assert second.state[next(b.parameters())]["step"].item() == 2**24 + 5
    assert equal(train(a, first, 5), train(b, second, 5))


def test_copies_and_hooks_of_checkpoints() -> None:
    a = model()
    first = ASGLD(a.parameters(), lr=1e-2, temperature=1e-4, seed=0)
    train(a, first, 2)
    seen = []
    first.register_load_state_dict_post_hook(lambda optimizer: seen.append(optimizer.state[a[0].weight]["step"].dtype))
    first.load_state_dict(copy.deepcopy(first.state_dict()))
    assert seen == [torch.int64]
    b, second = copy.deepcopy((a, first))
    assert equal(train(a, first, 3), train(b, second, 3))


def test_groups_schedulers_closures_and_hooks() -> None:
    a, b = model(), model()
    optimizer = ASGLD([{"params": a[0].parameters(), "lr": 0.1}], lr=1.0, seed=0, bias=0.0, temperature=0.0, clip=None)
    optimizer.add_param_group({"params": a[2].parameters(), "lr": 0.01})
    sgd = torch.optim.SGD([{"params": b[0].parameters()}, {"params": b[2].parameters(), "lr": 0.01}], lr=0.1)
    schedulers = [torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5) for o in (optimizer, sgd)]
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    for k in range(4):
        loss = optimizer.step(lambda k=k: backward(a, k))
        sgd.step(lambda k=k: backward(b, k))
        assert loss.requires_grad and len(calls) == k + 1
        for scheduler in schedulers:
            scheduler.step()
    assert equal(a, b)


def test_a_parameter_keeps_its_noise_whatever_the_others_do() -> None:
    """Neither a missing gradient nor another group shifts anyone's noise; step(noise=False) makes none."""

    def moves(skip: bool, noise: bool = True) -> list[torch.Tensor]:
        params = [nn.Parameter(torch.zeros(50)) for _ in range(3)]
        optimizer = ASGLD([{"params": params[:2]}, {"params": params[2:]}], temperature=1.0, seed=4)
        for i, p in enumerate(params):
            p.grad = None if skip and i == 0 else torch.zeros(50)
        optimizer.step(noise=noise)
        return [p.detach() for p in params]

    whole, without, quiet = moves(False), moves(True), moves(False, noise=False)
    assert not without[0].any() and not any(q.any() for q in quiet)
    assert torch.equal(whole[1], without[1]) and torch.equal(whole[2], without[2])
    assert not torch.equal(whole[0], whole[1])


def test_members_are_clipped_apart_and_runs_do_not_leak() -> None:
    params = [torch.randn(2, 3, 6, 5), torch.randn(2, 3, 5)]

    def run(chosen: slice, seed: object) -> list[torch.Tensor]:
        copies = [nn.Parameter(p[chosen].clone()) for p in params]
        optimizer = ASGLD(copies, lr=0.1, temperature=1e-3, members=tuple(copies[0].shape[:2]), seed=seed)
        for k in range(3):
            for p in copies:
                p.grad = p.detach() * (3 - k)
            optimizer.step()
        return [p.detach() for p in copies]

    together = run(slice(0, 2), 20)  # seeds 20, 21
    for r in range(2):
        alone = run(slice(r, r + 1), torch.tensor([20 + r]))
        assert all(torch.equal(a[0], t[r]) for a, t in zip(alone, together, strict=True))


def test_grad_scaler_and_steps_that_overflow() -> None:
    a, b = model(), model()
    fields = dict(lr=1e-2, temperature=1e-4, seed=3)
    scaled, plain = ASGLD(a.parameters(), **fields), ASGLD(b.parameters(), **fields)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=10**6)
    for k in range(4):
        a.zero_grad()
        scaler.scale(a(torch.full((2, 5), float(k))).square().mean()).backward()
        if k == 1:
            a[0].bias.grad[0] = torch.inf  # this step must leave no trace, in the noise neither
        scaler.step(scaled)
        scaler.update(1024.0)
        if k != 1:
            b.zero_grad()
            b(torch.full((2, 5), float(k))).square().mean().backward()
            plain.step()
    assert scaled.state[a[0].weight]["step"].item() == 3 and scaled.state[a[0].weight]["step"].dtype == torch.int64
    assert equal(a, b)
