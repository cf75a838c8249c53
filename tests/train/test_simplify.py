"""Graphs with fewer operators: which go, which stay, and that the numbers are the eager ones to the bit."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import Parameter

from pyslsac.train.simplify import simplify
from pyslsac.train.tracing import recorded


def operators(function, *inputs):
    """Those left of `function` whose results something uses, in their order."""
    module = make_fx(function)(*inputs)
    simplify(module)
    module.graph.eliminate_dead_code()
    module.recompile()
    calls = [node.target for node in module.graph.nodes if node.op == "call_function"]
    return [call._overloadpacket.__name__ for call in calls if isinstance(call, torch._ops.OpOverload)]


def check(make, *batches):
    """Replays give what `make()` gives eagerly, where each function that is made starts from the same."""
    eager, function = make(), make()
    expected = [eager(batch) for batch in batches]
    assert torch.equal(function(batches[0]), expected[0])
    replay = recorded(function, [batches[1]])  # one run, and then `batches` from the second
    for batch, value in zip(batches[2:], expected[2:], strict=True):
        assert torch.equal(replay(batch), value)


@pytest.fixture
def batches():
    return [torch.randn(4, 3) for _ in range(5)]


def test_a_gradient_keeps_its_arithmetic_only(batches):
    weight = Parameter(torch.randn(1, 3, 2))

    def function(x):
        out = torch.bmm(x.view(1, 4, 3), weight).view(4, 2).unsqueeze(0).squeeze(0)
        return torch.autograd.grad((out - 1).pow(2).mean() * 3, weight)[0]

    # of the loss nothing is needed; of the product of many axes, no view that shows what another does
    backward = ["pow", "mul", "mul", "view", "transpose", "bmm"]
    assert operators(function, batches[0]) == ["view", "bmm", "squeeze", "sub", *backward]
    check(lambda: function, *batches)


def test_views_of_what_keeps_its_place_are_made_once_and_see_it_change(batches):
    kept = []

    def make():
        weight = Parameter(torch.arange(6.0).reshape(2, 3))
        kept.append(weight)

        def function(x):
            before = x * weight.detach()[1].unsqueeze(0).expand(4, 3)
            torch._foreach_mul_([weight.detach()], 1.5)
            return before + x * weight.detach()[1].unsqueeze(0).expand(4, 3)

        return function

    assert operators(make(), batches[0]) == ["mul", "_foreach_mul_", "mul", "add"]
    check(make, *batches)
    assert torch.equal(kept[1], kept[2])  # put back after the graph was first run, though views of it were made


def test_what_is_only_read_is_not_copied_for_its_views(monkeypatch, batches):
    rows, copied, honest = torch.randn(100, 3), [], torch.Tensor.clone
    monkeypatch.setattr(torch.Tensor, "clone", lambda tensor: copied.append(tensor.data_ptr()) or honest(tensor))
    replay = recorded(lambda x: x + rows[1:5], [batches[0]], read=[rows])
    assert torch.equal(replay(batches[1]), batches[1] + rows[1:5]) and rows[1:5].data_ptr() not in copied


def test_a_write_through_a_view_is_seen(batches):
    def one(x):
        double = x * 2
        before = double.exp()
        double.view(-1).mul_(0.5)
        return before + double.exp()

    def another(x):
        double = x * 2
        flat, same = double.view(-1), double.add_(1)
        before = same.exp()
        flat.mul_(0.5)
        return before + same.exp()

    for function in (one, another):
        check(lambda function=function: function, *batches)


def test_constants_are_made_once_but_those_that_are_written_or_given_away(batches):
    def function(x):
        sums = torch.zeros_like(x)
        sums.add_(x)
        return sums * (torch.ones_like(x) * 3).unsqueeze(0).expand(2, 4, 3)

    assert operators(function, batches[0]) == ["zeros_like", "add_", "mul"]
    check(lambda: function, *batches)
    ones = recorded(torch.ones_like, [batches[0]])
    assert ones(batches[0]).data_ptr() != (kept := ones(batches[0])).data_ptr() and kept.sum() == 12


def test_noise_is_drawn_anew(batches):
    def function(x):
        return x + torch.bernoulli(torch.full_like(x, 0.5)) - torch.bernoulli(torch.full_like(x, 0.5))

    assert operators(function, batches[0]).count("bernoulli") == 2


def test_inputs_of_the_same_shape_may_lie_otherwise(batches):
    def function(x):
        return x.view(4, 3).unsqueeze(0).transpose(0, 1).squeeze(1) * 2

    replay = recorded(function, [batches[0]])
    other = torch.randn(3, 4).T
    assert torch.equal(replay(other), other * 2)


def test_views_in_a_list_stay_and_writes_to_them_are_seen(batches):
    weight = Parameter(torch.randn(2, 4, 3))

    def function(x):
        first, second = weight.detach().unbind(0)
        ones = torch.ones_like(x)
        ones.unbind(0)[1].add_(x[0])
        return x * first + second * ones

    assert operators(function, batches[0]) == ["unbind", "ones_like", "unbind", "select", "add_", "mul", "mul", "add"]
    check(lambda: function, *batches)
