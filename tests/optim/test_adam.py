"""Adam is torch's fused Adam: numbers but for rounding, options and state, each taken up by the other."""

import pytest
import torch
from torch import nn

from pyslsac.optim import Adam


def parameters(dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(*shape, generator=g).to(dtype)) for shape in ((2, 3, 5), (2, 5), (7,))]


def move(params, optimizer, steps, first=0):
    for step in range(first, first + steps):
        g = torch.Generator().manual_seed(100 + step)
        for place, p in enumerate(params):
            grad = torch.randn(*p.shape, generator=g).to(p)
            p.grad = None if (step + place) % 4 == 0 else grad  # now and then one has no gradient
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [{}, dict(weight_decay=0.1), dict(maximize=True), dict(weight_decay=0.5, decoupled_weight_decay=True)],
    ids=str,
)
def test_the_numbers_are_torchs(options, dtype):
    ours, theirs = parameters(dtype), parameters(dtype)
    move(ours, Adam(ours, lr=1e-2, **options), 9)
    move(theirs, torch.optim.Adam(theirs, lr=1e-2, fused=True, **options), 9)
    tolerance = dict(rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-14)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, **tolerance)
    assert not torch.equal(ours[0], parameters(dtype)[0])


@pytest.mark.parametrize("first_ours", [True, False])
def test_each_goes_on_from_the_others_state(first_ours):
    whole, broken = parameters(), parameters()
    move(whole, Adam(whole, lr=1e-2), 8)
    one, other = Adam(broken, lr=1e-2), torch.optim.Adam(broken, lr=1e-2, fused=True)
    first, second = (one, other) if first_ours else (other, one)
    move(broken, first, 4)
    second.load_state_dict(first.state_dict())
    move(broken, second, 4, first=4)
    for one, other in zip(whole, broken, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_clips_what_it_takes_and_leaves_it_in_grad(dtype):
    """Both runs' gradients have norm 10 over two tensors, of which 4 is left; bfloat16 goes by torch's kernels."""
    params = [nn.Parameter(torch.zeros(2, 3, 2, dtype=dtype)), nn.Parameter(torch.zeros(2, 1, dtype=dtype))]
    params[0].grad, params[1].grad = torch.zeros_like(params[0]), torch.full_like(params[1], 8.0)
    params[0].grad[:, 1, 1] = 6.0
    Adam(params, lr=1e-2).step(grad_norm=4.0)
    assert params[0].grad[:, 1, 1].tolist() == pytest.approx([2.4, 2.4], rel=1e-2)
    assert params[1].grad.flatten().tolist() == pytest.approx([3.2, 3.2], rel=1e-2)
    assert params[1].flatten().tolist() == pytest.approx([-1e-2, -1e-2], rel=1e-2)


def test_a_scheduler_changes_the_rate_and_a_closure_is_refused():
    params = parameters()
    optimizer = Adam(params, lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.0)
    move(params, optimizer, 1)
    schedule.step()
    before = [p.detach().clone() for p in params]
    move(params, optimizer, 1, first=1)
    assert all(torch.equal(a, b) for a, b in zip(before, params, strict=True))
    with pytest.raises(TypeError):
        optimizer.step(lambda: None)
