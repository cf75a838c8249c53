"""`perceptron`: numbers by hand, plain layers in float64, every edge of the tiles, zeros, threads."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pyslsac.ops import perceptron
from tests.ops.threads import on_threads

OP, OP_BACKWARD = torch.ops.pyslsac.perceptron, torch.ops.pyslsac.perceptron_backward
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
devices = pytest.mark.parametrize("device", DEVICES)
ACTIVATIONS = {None: lambda x: x, "relu": F.relu, "silu": F.silu, "gelu": F.gelu, "mish": F.mish, "tanh": torch.tanh}
NAMES = list(ACTIVATIONS)
kinds = pytest.mark.parametrize("name", NAMES)
WIDTHS, BATCHES = (1, 7, 16, 17, 33, 64, 256), (1, 5, 8, 9, 12, 131, 256, 300)
EDGES = [  # batch, widths from input to output
    *((batch, (7, 17, 33, 1)) for batch in BATCHES),
    *((batch, (17, 64, 12)) for batch in BATCHES),
    *((13, (width, 9, 5)) for width in WIDTHS),
    *((13, (9, width, width, 2)) for width in WIDTHS),
    *((6, (9, width, 1)) for width in WIDTHS),
    *((40, (23, *[31] * depth, last)) for depth in range(4) for last in (1, 2, 12, 33)),
    (300, (256, 256, 64)),
]
ROUNDING = 2e-6  # sums of up to 300 terms of about 1, each rounded to 6e-8, through up to 8 layers there and back


def case(batch=5, sizes=(7, 6, 3), names=("tanh", None), members=(2,), seen_by=0, seed=0, device="cpu"):
    """x, weights, biases in float64, all of float32's values; the last `seen_by` axes of the members share x."""
    generator = torch.Generator().manual_seed(seed)

    def normal(scale, *shape):
        return (scale * torch.randn(*shape, generator=generator)).double()

    near = True
    while near:  # a ReLU's argument to its kink: in float32 it may lie on the other side
        x = normal(1.0, *members[: len(members) - seen_by], batch, sizes[0])
        weights = [normal(i**-0.5, *members, i, o) for i, o in itertools.pairwise(sizes)]
        biases = [normal(0.3, *members, o) for o in sizes[1:]]
        sums = [layers(x, weights[: i + 1], biases[: i + 1], [*names[:i], None]) for i in range(len(names))]
        near = any(bool((z.abs() < 4e-6).any()) for z, name in zip(sums, names, strict=True) if name == "relu")
    return x.to(device), [w.to(device) for w in weights], [b.to(device) for b in biases]


def layers(x, weights, biases, names):
    """The perceptrons as one writes them."""
    for _ in range(weights[0].dim() - x.dim()):
        x = x.unsqueeze(-3)
    for weight, bias, name in zip(weights, biases, names, strict=True):
        x = ACTIVATIONS[name](x @ weight + bias.unsqueeze(-2))
    return x


def value_and_grads(call, args, names):
    """y, and the derivatives of a fixed weighting of it by x, every weight and every bias."""
    x, weights, biases = args
    x, *params = (t.detach().clone().requires_grad_() for t in (x, *weights, *biases))
    y = call(x, params[: len(weights)], params[len(weights) :], names)
    weighting = torch.arange(1.0, y.numel() + 1, device=y.device, dtype=torch.float64).sin().view_as(y)
    return [y.detach(), *torch.autograd.grad((y.double() * weighting).sum(), [x, *params])]


def to(args, dtype):
    return args[0].to(dtype), *([t.to(dtype) for t in some] for some in args[1:])


def close(got, wanted, tolerance):
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=tolerance * (b.abs().max().item() + 1))


def agrees(args, names, tolerance=ROUNDING):
    """Compiled in float32, and the reference in float64, against the plain layers in float64."""
    wanted = value_and_grads(layers, args, names)
    close(value_and_grads(perceptron, to(args, torch.float32), names), wanted, tolerance)
    close(value_and_grads(perceptron, args, names), wanted, 1e-13)


def same_on_any_threads(args, names, call=perceptron):
    """One, two and three threads make the same bits."""
    found = on_threads(lambda: value_and_grads(call, args, names))
    assert all(all(map(torch.equal, other, found[0])) for other in found[1:])


@devices
def test_one_network_by_hand(device):
    x, first, second = (
        torch.tensor([[1.0, -2.0]]),
        torch.tensor([[1.0, 2.0], [3.0, -1.0]]),
        torch.tensor([[5.0], [0.5]]),
    )
    args = [t.to(device).requires_grad_() for t in (x, first, second, torch.tensor([0.5, 0.0]), torch.tensor([1.0]))]
    y = perceptron(args[0], args[1:3], args[3:], ["relu", None])
    assert y.tolist() == [[3.0]]  # sums [-4.5, 4], ReLU [0, 4]
    y.backward()
    grads = [t.grad.tolist() for t in args]
    assert grads == [[[1.0, -0.5]], [[0.0, 0.5], [0.0, -1.0]], [[0.0], [4.0]], [0.0, 0.5], [1.0]]


@devices
@pytest.mark.parametrize(("batch", "sizes"), EDGES)
def test_agrees_with_plain_layers_in_float64(batch, sizes, device):
    names = [NAMES[(batch + sum(sizes) + layer) % 6] for layer in range(len(sizes) - 1)]
    agrees(case(batch, sizes, names, seed=batch + sum(sizes), device=device), names)


@devices
@kinds
@pytest.mark.parametrize("last", [1, 19])
@pytest.mark.parametrize("batch", [7, 30])
def test_every_activation_also_after_the_last_layer(name, last, batch, device):
    for names in ([name], [name, None, name], [name] * 8):
        agrees(case(batch, [11] * len(names) + [last], names, device=device), names)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_shape(data):
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
    sizes = data.draw(st.lists(st.integers(1, 70), min_size=len(names) + 1, max_size=len(names) + 1))
    members = tuple(data.draw(st.lists(st.integers(1, 3), max_size=3)))
    seen_by, batch, seed = (data.draw(st.integers(*ends)) for ends in ((0, len(members)), (1, 40), (0, 9)))
    agrees(case(batch, sizes, names, members, seen_by, seed), names, 10 * ROUNDING)  # large terms may cancel


@devices
@pytest.mark.parametrize(("members", "seen_by"), [((), 0), ((2, 3), 0), ((2, 3), 1), ((2, 3), 2), ((2, 1, 3), 1)])
def test_leading_axes_and_networks_that_share_their_input(members, seen_by, device):
    args = case(10, (7, 18, 3), ["gelu", None], members, seen_by, device=device)
    agrees(args, ["gelu", None])
    y, by_x, *_ = value_and_grads(perceptron, to(args, torch.float32), ["gelu", None])
    assert y.shape == (*members, 10, 3) and by_x.shape == args[0].shape


@devices
@kinds
def test_gradcheck(name, device):
    x, weights, biases = case(4, (3, 5, 2), [name, name], (2, 2), 1, device=device)
    args = [t.requires_grad_() for t in (x, *weights, *biases)]
    assert torch.autograd.gradcheck(lambda x, *p: perceptron(x, p[:2], p[2:], [name, name]), args)


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("members", "seen_by"), [((2,), 0), ((2, 3), 1)])
def test_columns_that_are_given_change_nothing_but_have_no_gradient(members, seen_by, dtype, device):
    x, weights, biases = to(case(9, (20, 33, 17, 1), members=members, seen_by=seen_by, device=device), dtype)
    names = ["silu", "relu", None]
    whole = x.clone().requires_grad_()
    given, some = x[..., :13], x[..., 13:].clone().requires_grad_()
    y = perceptron(whole, weights, biases, names)
    torch.testing.assert_close(perceptron(some, weights, biases, names, given), y, rtol=0, atol=0)
    (wanted,) = torch.autograd.grad(y.sin().sum(), whole)
    found = torch.autograd.grad(perceptron(some, weights, biases, names, given).sin().sum(), some)
    close(found, [wanted[..., 13:].double()], ROUNDING if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("batch", [1, 80, 131, 300])  # 80: three threads take 36, 36 and 8 rows
@pytest.mark.parametrize("names", [["relu", "relu", None], ["gelu", "mish", "tanh"], ["silu", None, "silu"]])
def test_threads_do_not_change_bits(names, batch):
    same_on_any_threads(to(case(batch, (17, 100, 256, 3), names, (1,)), torch.float32), names)


@pytest.mark.parametrize("seen_by", [0, 1])
@pytest.mark.parametrize("batch", [8, 50])
def test_networks_do_not_change_one_another(batch, seen_by):
    x, weights, biases = to(case(batch, (17, 40, 33, 1), ["relu", "gelu", None], (3, 2), seen_by), torch.float32)
    stack = [x.flatten(0, -3), [w.flatten(0, 1) for w in weights], [b.flatten(0, 1) for b in biases]]

    def there_and_back(x, weights, biases):
        y, kept = OP(x, weights, biases, [0, 2, -1], True)
        x_grad, grads = OP_BACKWARD(y.sin(), x, y, kept, weights, [0, 2, -1], x.shape[-1], True)
        return [y, *kept, x_grad, *grads]

    together, shared = there_and_back(*stack), 2 if seen_by else 1
    for g in range(6):
        own = stack[0][g // shared : g // shared + 1], *([t[g : g + 1] for t in some] for some in stack[1:])
        assert all(torch.equal(a, b[g : g + 1]) for a, b in zip(there_and_back(*own), together, strict=True))


@pytest.mark.parametrize("batch", [4, 14])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_stays_so(value, batch):
    names = ["relu", None, "relu", None]
    args = to(case(batch, (9, 17, 16, 18, 1), names), torch.float32)
    args[0][:, 2, 3] = value
    got, wanted = (value_and_grads(call, args, names) for call in (perceptron, layers))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5, equal_nan=True)
    assert all(t.isfinite().sum() < t.numel() for t in (got[0], *got[2:4]))
    for name in NAMES if value != value else ():
        y, by_x, *_ = value_and_grads(perceptron, args, ["mish", name, name, None])
        for t in (y, by_x):
            assert t.isnan().any(-1).nonzero()[:, 1].tolist() == [2, 2]


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 20])
def test_at_zero_a_relu_has_no_slope(width, dtype, device):
    x, weights, biases = to(case(20, (4, width, width), device=device), dtype)
    y, *grads = value_and_grads(perceptron, (x, [w * 0 for w in weights], [b * -0.0 for b in biases]), ["relu"] * 2)
    assert not y.any() and not any(grad.any() for grad in grads)


@devices
def test_non_contiguous_arguments(device):
    args = to(case(20, (7, 18, 3), device=device), torch.float32)
    x, weights, biases = args
    strided = (
        x.mT.contiguous().mT,
        [w.mT.contiguous().mT for w in weights],
        [torch.stack([b, b], -1)[..., 0] for b in biases],
    )
    assert not any(t.is_contiguous() for t in (strided[0], *strided[1], *strided[2]))
    names = ["tanh", None]
    assert all(map(torch.equal, *(value_and_grads(perceptron, some, names) for some in (strided, args))))


@devices
@pytest.mark.parametrize("seen_by", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_rows(dtype, seen_by, device):
    names = ["gelu", "relu", None]
    args = case(0, (7, 66, 5, 3), names, (2, 3), seen_by, device=device)
    got, wanted = value_and_grads(perceptron, to(args, dtype), names), value_and_grads(layers, args, names)
    assert [t.shape for t in got] == [t.shape for t in wanted] and not any(t.any() for t in got)
