"""`quantile_features`: numbers by hand, dense layers in float64, derivatives, edges of the tiles, zeros, threads."""

import pytest
import torch

from pyslsac.ops import _library, backend, quantile_features
from pyslsac.ops.reference import quantile_features as reference
from tests.ops.threads import on_threads

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
devices = pytest.mark.parametrize("device", DEVICES)
EDGES = [  # states, quantiles, cosines, width, outputs
    *((3, n, 5, 9, 12) for n in (1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33)),
    *((3, 6, c, 9, 12) for c in (1, 8, 15, 16, 17, 64, 65)),
    *((3, 6, 5, k, 12) for k in (1, 2, 8, 16, 31, 32, 33, 127, 129, 257)),
    *((3, 6, 5, 9, h) for h in (1, 4, 15, 16, 17, 31, 32, 33, 63, 65, 127, 128, 129, 257)),
    *((b, 6, 5, 9, 12) for b in (1, 2, 7, 8, 9, 15, 17)),
]
EMPTY = [(0, 4, 3, 5, 6), (3, 0, 3, 5, 6), (3, 4, 0, 5, 6), (3, 4, 3, 0, 6), (3, 4, 3, 5, 0)]


def case(*sizes, runs=1, dtype=torch.float64, device="cpu", seed=0):
    """Arguments whose psi is the output of a ReLU, half zeros."""
    states, n, cosines, width, outputs = sizes or (5, 8, 6, 17, 19)
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(runs, *shape, generator=generator, dtype=torch.float64)

    psi, angles = normal(states, width).relu(), 3 * normal(states, n, cosines)
    phi = normal(cosines, width) / cosines**0.5, normal(width)
    hidden = normal(width, outputs) / width**0.5, normal(outputs)
    return [x.to(device, dtype) for x in (psi, angles.cos(), *phi, *hidden)]


def weighting(features):  # some derivative by them
    return torch.arange(1.0, features.numel() + 1, dtype=torch.float64, device=features.device).sin().view_as(features)


def learning(args):
    """Copies that ask for every gradient there is."""
    return [x.detach().clone().requires_grad_(i != 1) for i, x in enumerate(args)]


def value_and_grads(call, args):
    """The features and the derivatives of a fixed weighting of them, by all arguments but the cosines."""
    args = learning(args)
    features = call(*args)
    grads = torch.autograd.grad(features, [x for x in args if x.requires_grad], weighting(features).to(features.dtype))
    return [features.detach(), *grads]


def dense(*args):
    """The two layers as a network would write them."""
    psi, cosines, phi_weight, phi_bias, weight, bias = args
    phi = torch.relu(cosines @ phi_weight.unsqueeze(1) + phi_bias[:, None, None])
    return torch.relu((psi.relu().unsqueeze(2) * phi) @ weight.unsqueeze(1) + bias[:, None, None])


def close(got, wanted, tolerance):
    for a, b in zip(got, wanted, strict=True):
        scale = b.abs().max().item() if b.numel() else 0.0
        torch.testing.assert_close(a.double(), b.double(), rtol=0, atol=tolerance * (scale + 1))


def same_on_any_threads(call, args):
    """One, two and three threads make the same bits."""
    found = on_threads(lambda: value_and_grads(call, args))
    assert all(all(map(torch.equal, other, found[0])) for other in found[1:])


@devices
def test_two_states_by_hand(device):
    psi = torch.tensor([[[2.0, 0.0], [3.0, 1.0]]])
    cosines = torch.tensor([[[[1.0], [-1.0]], [[0.5], [0.0]]]])
    phi_weight, phi_bias = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[0.5, 0.0]])
    weight, bias = torch.tensor([[[1.0], [-2.0]]]), torch.tensor([[0.25]])
    # phi: [1.5, 2], [0, 0] | [1, 1], [0.5, 0]; psi phi: [3, 0], [0, 0] | [3, 1], [1.5, 0]
    args = learning([x.to(device) for x in (psi, cosines, phi_weight, phi_bias, weight, bias)])
    features = quantile_features(*args)
    assert features.flatten().tolist() == [3.25, 0.25, 1.25, 1.75]
    features.sum().backward()
    assert args[0].grad.tolist() == [[[1.5, 0.0], [1.5, -2.0]]]  # Σ_n phi w, where psi > 0
    assert args[2].grad.tolist() == [[[2.0 + 1.5, -1.0]]]  # Σ psi w cos, where phi > 0
    assert args[3].grad.tolist() == [[2.0 + 3.0 + 3.0, -2.0]]
    assert args[4].grad.tolist() == [[[3.0 + 3.0 + 1.5], [1.0]]]
    assert args[5].grad.tolist() == [[4.0]]


@devices
@pytest.mark.parametrize("sizes", EDGES)
def test_agrees_with_the_dense_layers_in_float64(sizes, device):
    args = case(*sizes, runs=2, device=device, seed=sum(sizes))
    wanted = value_and_grads(dense, args)
    close(value_and_grads(quantile_features, args), wanted, 1e-13)
    close(value_and_grads(reference.quantile_features, args), wanted, 1e-13)
    close(value_and_grads(quantile_features, [x.float() for x in args]), wanted, 5e-6)


@devices
def test_the_references_backward_is_its_derivative(device):
    args = case(runs=2, device=device)
    args[0][0, 1] = -1.0
    features = reference.quantile_features(*args)
    grads = reference.quantile_features_backward(weighting(features), features, *args, True)
    close(grads, value_and_grads(dense, args)[1:], 1e-13)


@devices
def test_gradcheck(device):
    args = case(3, 4, 3, 5, 6, runs=2, device=device)
    assert torch.autograd.gradcheck(lambda *rest: quantile_features(args[0], *rest), learning(args)[1:])
    away = (args[0] + 0.5).requires_grad_()  # from the kink
    assert torch.autograd.gradcheck(lambda psi: quantile_features(psi, *args[1:]), away)


@devices
def test_entries_not_above_zero_count_as_zero(device):
    args = case(runs=2, device=device)
    clipped = value_and_grads(quantile_features, args)
    args[0][args[0] == 0] = -3.0
    assert all(map(torch.equal, value_and_grads(quantile_features, args), clipped))
    assert (clipped[1][args[0] < 0] == 0).all() and (clipped[1][args[0] > 0] != 0).any()
    features, *grads = value_and_grads(quantile_features, [-args[0].abs() - 1, *args[1:]])  # the bias is left
    assert torch.equal(features, args[5].relu()[:, None, None].expand_as(features))
    assert all((x == 0).all() for x in grads[:-1]) and (grads[-1] != 0).any()


@devices
def test_not_a_number_stays_one(device):
    args = case(device=device)
    args[0][0, 2, 3] = torch.nan
    features = quantile_features(*args)
    assert features.isnan().any(-1).any(-1).tolist() == [[False, False, True, False, False]]


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype, device):
    args = case(3, 4, 3, 5, 6, runs=2, dtype=dtype, device=device)
    features = quantile_features(*args)
    for weights in (True, False):
        backward = (torch.ones_like(features), features, *args, weights)
        torch.library.opcheck(torch.ops.pyslsac.quantile_features_backward.default, backward)
    torch.library.opcheck(torch.ops.pyslsac.quantile_features.default, tuple(learning(args)))


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_do_not_change_bits(dtype, device):
    same_on_any_threads(quantile_features, case(37, 9, 7, 33, 40, runs=2, dtype=dtype, device=device))


@devices
def test_runs_do_not_change_one_another(device):
    args = case(runs=3, device=device)
    together = quantile_features(*args)
    grads = torch.ops.pyslsac.quantile_features_backward(together.sin(), together, *args, True)
    for run in range(3):
        own = [x[run : run + 1] for x in args]
        alone = quantile_features(*own)
        assert torch.equal(alone, together[run : run + 1])
        own_grads = torch.ops.pyslsac.quantile_features_backward(alone.sin(), alone, *own, True)
        assert all(torch.equal(a, b[run : run + 1]) for a, b in zip(own_grads, grads, strict=True))


@devices
def test_frozen_weights_get_no_gradient(device):
    args = case(runs=2, device=device)
    wanted = value_and_grads(quantile_features, args)[1]
    features = quantile_features(args[0].requires_grad_(), *args[1:])
    (features * weighting(features)).sum().backward()
    assert torch.equal(args[0].grad, wanted) and all(x.grad is None for x in args[1:])
    with torch.no_grad():
        empty = torch.ops.pyslsac.quantile_features_backward(features, features, *args, False)[1:]
    assert [x.numel() for x in empty] == [0] * 4


def test_a_second_derivative_is_refused():
    args = case()
    args[0].requires_grad_()
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad((scale * quantile_features(*args)).sum(), args[0], create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


@devices
@pytest.mark.parametrize("sizes", EMPTY)
def test_empty_axes(sizes, device):
    args = cut(sizes, device=device)
    close(value_and_grads(quantile_features, args), value_and_grads(dense, args), 1e-13)


def cut(sizes, **options):
    """Arguments of these sizes, of which some are 0."""
    args = case(*(s or 1 for s in sizes), **options)
    b, n, c, k, h = sizes
    cuts = [(1, b, k), (1, b, n, c), (1, c, k), (1, k), (1, k, h), (1, h)]
    return [x[tuple(map(slice, ends))] for x, ends in zip(args, cuts, strict=True)]


@devices
def test_non_contiguous_arguments(device):
    args = case(runs=2, device=device)
    strided = [torch.stack([x, x], -1)[..., 0] for x in args]
    assert not any(x.is_contiguous() for x in strided)
    assert all(map(torch.equal, *(value_and_grads(quantile_features, x) for x in (strided, args))))


@devices
def test_other_dtypes_run_on_the_reference(device):
    args = case(runs=2, device=device)
    rough = value_and_grads(quantile_features, [x.bfloat16() for x in args])
    assert all(x.dtype == torch.bfloat16 for x in rough)
    close(rough[:1], value_and_grads(dense, args)[:1], 0.05)


BAD = {
    "psi is float32 [5, 17]": (0, lambda x: x[0], "wanted float32 or float64 [G, B, K]"),
    "cosines is float64 [1, 5, 8, 6]": (1, lambda x: x.double(), "[G, B, N, C], contiguous, beside psi: float32"),
    "cosines is float32 [1, 4, 8, 6]": (1, lambda x: x[:, :4], "[1, 5, 17] on cpu"),
    "phi_weight is float32 [1, 5, 17]": (2, lambda x: x[:, :5], "wanted [G, C, K]"),
    "phi_bias is float32 [1, 16]": (3, lambda x: x[:, :16], "wanted [G, K]"),
    "weight is float32 [1, 16, 19]": (4, lambda x: x[:, :16], "wanted [G, K, H]"),
    "weight is float32 [17, 19]": (4, lambda x: x[0], "wanted [G, K, H]"),
    "bias is float32 [1, 18]": (5, lambda x: x[:, :18], "wanted [G, H]"),
}


@pytest.mark.parametrize("came", BAD)
def test_arguments_that_do_not_fit_are_named(came):
    position, change, wanted = BAD[came]
    args = case(dtype=torch.float32)
    args[position] = change(args[position]).contiguous()
    for call in (quantile_features, reference.quantile_features):
        with pytest.raises(RuntimeError) as error:
            call(*args)
        assert f"quantile_features: {came}" in str(error.value) and wanted in str(error.value)
    features = torch.empty(1, 5, 8, 19)
    for call in (torch.ops.pyslsac.quantile_features_backward, reference.quantile_features_backward):
        with pytest.raises(RuntimeError, match="quantile_features_backward: grad is float64"):
            call(features.double(), features, *case(dtype=torch.float32), True)
        with pytest.raises(RuntimeError, match="quantile_features_backward: features is float32"):
            call(features, features[0], *case(dtype=torch.float32), True)


def test_compiled_where_the_core_was_built():
    wanted = "compiled" if _library.MISSING["cpu"] is None else "reference"
    assert {backend(f"quantile_features{kind}", "cpu") for kind in ("", "_backward")} == {wanted}
