"""ASGLD on every form of parameter and number: complex, sparse, half, tensors, compiled; and what it refuses."""

import pytest
import torch
from torch import nn

from pyslsac.optim import ASGLD


def test_complex_parameters_move_as_pairs() -> None:
    start = torch.randn(7, 3, dtype=torch.complex64)
    whole, pairs = nn.Parameter(start.clone()), nn.Parameter(torch.view_as_real(start).clone())
    for param in (whole, pairs):
        optimizer = ASGLD([param], lr=0.1, temperature=1e-3, seed=0)
        for _ in range(3):
            param.grad = param.detach() * 2
            optimizer.step()
    assert torch.equal(torch.view_as_real(whole.detach()), pairs.detach())


def test_sparse_gradients_are_rejected() -> None:
    table = nn.Embedding(10, 3, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(RuntimeError, match="ASGLD: a gradient is sparse; wanted dense"):
        ASGLD(table.parameters()).step()


@pytest.mark.parametrize("variant", ["asgld", "asgld-preconditioned", "psgld", "sgld"])
def test_state_holds_what_the_variant_needs(variant: str) -> None:
    param = nn.Parameter(torch.ones(4, dtype=torch.float16))
    param.grad = torch.ones_like(param)
    optimizer = ASGLD([param], lr=0.1, variant=variant, compensated=True)
    optimizer.step()
    moments = {"sgld": set(), "psgld": {"exp_avg_sq"}}.get(variant, {"exp_avg", "exp_avg_sq"})
    assert set(optimizer.state[param]) == {"step", "stream", "residual"} | moments
    assert {optimizer.state[param][name].dtype for name in moments | {"residual"}} == {torch.float32}
    assert (param < 1).all()


def test_numbers_may_be_tensors_that_change() -> None:
    ends = []
    for tensors in (False, True):
        param = nn.Parameter(torch.ones(100))
        lr, temperature = (torch.tensor(x) if tensors else x for x in (0.125, 0.25))
        optimizer = ASGLD([param], lr=lr, temperature=temperature, seed=0)
        for _ in range(2):
            param.grad = torch.ones(100)
            optimizer.step()
            if tensors:
                lr.mul_(0.5)
                temperature.mul_(0.5)
            else:
                optimizer.param_groups[0]["lr"] *= 0.5
                optimizer.param_groups[0]["temperature"] *= 0.5
        ends.append(param.detach())
    assert torch.equal(*ends)


def test_a_compiled_step_is_the_eager_step() -> None:
    ends = []
    for compiled in (False, True):
        params = [nn.Parameter(torch.ones(3, 40)), nn.Parameter(torch.ones(40))]
        optimizer = ASGLD(params, lr=torch.tensor(0.1), temperature=1e-2, seed=0)
        step = torch.compile(optimizer.step, backend="aot_eager") if compiled else optimizer.step
        for k in range(4):
            for p in params:
                p.grad = torch.full_like(p, k + 1.0)
            step()
        ends.append([p.detach() for p in params])
        assert optimizer.state[params[0]]["step"].item() == 4
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_seeds() -> None:
    def end(seed: object, members: object = ()) -> torch.Tensor:
        param = nn.Parameter(torch.zeros(2, 8))
        param.grad = torch.zeros(2, 8)
        ASGLD([param], temperature=1.0, seed=seed, members=members).step()
        return param.detach()

    assert torch.equal(end(5), end(5)) and not torch.equal(end(5), end(6))
    assert torch.equal(end(5, (2,)), end([5, 6], (2,))) and torch.equal(end(5, (2,))[1], end([0, 6], (2,))[1])
    torch.manual_seed(3)
    first = end(None)
    torch.manual_seed(3)
    assert torch.equal(first, end(None)) and not torch.equal(first, end(None))
    assert end(2**64 - 1).any() and torch.equal(end(2**64 - 1), end(-1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(lr=-1.0), "lr is -1.0; wanted a finite number from 0 to inf"),
        (dict(temperature=float("nan")), "temperature is nan"),
        (dict(betas=(0.9, 1.5)), r"betas\[1\] is 1.5; wanted a finite number from 0 to 1"),
        (dict(variant="adam"), "variant is 'adam'; wanted one of"),
        (dict(clip="value"), "clip is 'value'; wanted one of"),
        (dict(members=3), r"a parameter is \[2, 8\]; members=3 wants leading axes \(3,\)"),
        (dict(members=(2, 4)), r"members=\(2, 4\) wants leading axes"),
        (dict(members=(2, 8), seed=[1, 2, 3]), "seed has 3 entries"),
    ],
)
def test_refusals(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"ASGLD: .*{message}"):
        ASGLD([nn.Parameter(torch.zeros(2, 8))], **fields)


def test_fused_true_wants_a_compiled_op() -> None:
    ASGLD([nn.Parameter(torch.zeros(3))], fused=True)
    with pytest.raises(ValueError, match=r"ASGLD: fused=True: nothing compiled for torch.float16 on cpu"):
        ASGLD([nn.Parameter(torch.zeros(3, dtype=torch.float16))], fused=True)
