"""`reverse_chain`: numbers by hand, the chain as one writes it in float64, laws, bfloat16, threads, runs."""

import itertools
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac.nn.score import ScoreNetwork
from pyslsac.ops import reverse_chain
from pyslsac.sampling import reverse, variance_exploding
from tests.ops.bfloat16 import RoundedProduct, error
from tests.ops.test_perceptron import ACTIVATIONS, NAMES, close, devices, kinds
from tests.ops.threads import on_threads

ROUNDING = 4e-6  # what `perceptron` is allowed, twice: a level starts from the rounding of those before it
BATCHES, LEVELS = (1, 12, 131, 256, 300), (1, 2, 5)
EDGES = [  # runs, batch, levels, columns of observation, action and table, hidden widths
    *(
        (1 + i % 3, batch, levels, 5, (1, 6)[i % 2], (16, 1)[i // 2 % 2], (33, 18))
        for i, (batch, levels) in enumerate(itertools.product(BATCHES, LEVELS))
    ),
    *(
        (2, 13, 3, 17, actions, embedding, (31,) * depth)
        for actions, embedding, depth in itertools.product((1, 6), (1, 16), range(4))
    ),
    (1, 40, 5, 17, 6, 16, (128, 128, 128)),
]


def case(runs=2, batch=5, levels=3, states=4, actions=2, embedding=3, hidden=(6,), names=None, seed=0, device="cpu"):
    """The arguments of `reverse_chain` in float64, all but gain and spread of float32's values."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (states + actions + embedding, *hidden, actions)
    names = ["tanh"] * len(hidden) + [None] if names is None else names

    def normal(scale, *shape):
        return (scale * torch.randn(*shape, generator=generator)).double()

    obs, table = normal(1.0, runs, batch, states), normal(1.0, runs, levels, embedding)
    weights = [normal(i**-0.5, runs, i, o) for i, o in itertools.pairwise(sizes)]
    biases = [normal(0.3, runs, o) for o in sizes[1:]]
    gain = 0.1 + 0.5 * torch.rand(levels, generator=generator, dtype=torch.float64)
    noise, near = torch.empty(runs, levels, batch, actions).double(), torch.ones(runs, batch, dtype=torch.bool)
    args = obs, noise, table, weights, biases, names, gain, gain.sqrt()
    while near.any():  # a ReLU's argument to its kink: in float32 it may lie on the other side
        noise.transpose(1, 2)[near] = normal(1.0, int(near.sum()), levels, actions)
        sums = [torch.ones(runs, batch, 1)]
        plain(*args, sums=sums)
        near = torch.stack([(z.abs() < 1e-5).any(-1) for z in sums]).any(0)
    return to(args, device=device)


def plain(obs, noise, table, weights, biases, names, gain, spread, bf16=0, sums=None):
    """The chain as one writes it; the arguments of its ReLUs join `sums`."""
    x, path = noise[:, 0], []
    for k in reversed(range(len(gain))):
        y = torch.cat([obs, x.tanh(), table[:, k : k + 1].expand(-1, obs.shape[1], -1)], -1)
        for layer, (weight, bias, name) in enumerate(zip(weights, biases, names, strict=True)):
            y = (RoundedProduct.apply if layer < bf16 else torch.matmul)(y, weight) + bias.unsqueeze(-2)
            if sums is not None and name == "relu":
                sums.append(y)
            y = ACTIVATIONS[name](y)
        x = x + gain[k] * y
        if k:
            x = x + spread[k] * noise[:, k]
        path.append(x.tanh())
    return path[-1], torch.stack(path[::-1])


def to(args, dtype=None, device=None):
    """Everything but gain and spread in this dtype, or on this device."""
    *tensors, weights, biases, names, gain, spread = args
    lists = [[t.to(dtype=dtype, device=device) for t in some] for some in (weights, biases)]
    return *(t.to(dtype=dtype, device=device) for t in tensors), *lists, names, gain, spread


def value_and_grads(call, args, learns=lambda position: True):
    """The end and the path, then the derivatives of a fixed weighting of the end by table, weights and biases, those
    of them whose position learns."""
    obs, noise, table, weights, biases, *rest = args
    layers, params = len(weights), [t.detach().clone() for t in (table, *weights, *biases)]
    learned = [t.requires_grad_() for position, t in enumerate(params) if learns(position)]
    end, path = call(obs, noise, params[0], params[1 : layers + 1], params[layers + 1 :], *rest)
    weighting = torch.arange(1.0, end.numel() + 1, device=end.device, dtype=torch.float64).sin().view_as(end)
    grads = torch.autograd.grad((end.double() * weighting).sum(), learned) if learned else ()
    return [end.detach(), path.detach(), *grads]


def agrees(args, tolerance=ROUNDING):
    """Compiled in float32, and the reference in float64, against the plain chain in float64."""
    wanted = value_and_grads(plain, args)
    close(value_and_grads(reverse_chain, to(args, torch.float32)), wanted, tolerance)
    close(value_and_grads(reverse_chain, args), wanted, 1e-13)


def ours(args, bf16=0):
    return value_and_grads(partial(reverse_chain, bf16=bf16), args)


def same(found, others):
    return all(all(map(torch.equal, found, other)) for other in others)


@devices
def test_two_levels_by_hand(device):
    one = partial(torch.tensor, device=device)
    obs, noise = one([[[0.5]]]), one([[[[0.0]], [[-1.5]]]])  # x = 0
    table, weight, bias = one([[[1.0], [3.0]]]), one([[[2.0], [4.0], [1.0]]]), one([[-1.0]])
    gain, spread = torch.tensor([0.25, 0.5]).double(), torch.tensor([9.0, 1.0]).double()
    params = [t.requires_grad_() for t in (table, weight, bias)]
    # level 1: score 2 * 0.5 + 4 * 0 + 3 - 1 = 3, x = 0 + 0.5 * 3 - 1.5 = 0; level 0: score 1 + 0 + 1 - 1 = 1, x = 0.25
    end, path = reverse_chain(obs, noise, table, [weight], [bias], [None], gain, spread)
    assert end.requires_grad and not path.requires_grad
    torch.testing.assert_close(path.flatten(), one([0.25, 0.0]).tanh(), rtol=0, atol=1e-7)
    assert torch.equal(end, path[0])
    (end / (1 - end.detach().square())).sum().backward()  # of x: 1, through level 0's score 0.25,
    wanted = [0.25, 1.0], [0.625, 0.0, 3.25], [1.25]  # of x before it 1 + 0.25 * 4 = 2, through level 1's 1
    for param, grad in zip(params, wanted, strict=True):
        torch.testing.assert_close(param.grad.flatten(), one(grad), rtol=1e-6, atol=1e-7)


@devices
@pytest.mark.parametrize(("runs", "batch", "levels", "states", "actions", "embedding", "hidden"), EDGES)
def test_agrees_with_the_plain_chain_in_float64(runs, batch, levels, states, actions, embedding, hidden, device):
    names = [NAMES[(batch + levels + actions + layer) % 6] for layer in range(len(hidden) + 1)]
    agrees(case(runs, batch, levels, states, actions, embedding, hidden, names, batch + levels, device))


@devices
@kinds
@pytest.mark.parametrize("actions", [1, 6])
def test_every_activation_also_after_the_last_layer(name, actions, device):
    for names in ([name], [name, None, name], [name] * 4, [name] * 8):
        agrees(case(2, 14, 3, 5, actions, 4, (11,) * (len(names) - 1), names, device=device))


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_shape(data):
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
    hidden = data.draw(st.lists(st.integers(1, 40), min_size=len(names) - 1, max_size=len(names) - 1))
    ends = (1, 3), (1, 40), (1, 6), (0, 20), (1, 9), (1, 17)
    sizes, seed = [data.draw(st.integers(*end)) for end in ends], data.draw(st.integers(0, 9))
    agrees(case(*sizes, hidden, names, seed), 10 * ROUNDING)  # large terms may cancel


@devices
@kinds
def test_gradcheck(name, device):
    obs, noise, table, weights, biases, *rest = case(2, 3, 2, 2, 2, 2, (4,), [name, name], device=device)
    params = [t.requires_grad_() for t in (table, *weights, *biases)]

    def end(table, *params):
        return reverse_chain(obs, noise, table, params[:2], params[2:], *rest)[0]

    assert torch.autograd.gradcheck(end, params)


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [0.0, -0.75])
def test_with_zero_weights_a_chain_is_a_sum_of_its_noises(bias, dtype, device):
    obs, noise, table, weights, biases, names, gain, spread = to(case(3, 40, 4, device=device), dtype)
    args = obs, noise, table, [w * 0 for w in weights], [b * 0 + bias for b in biases], names, gain, spread
    moves = noise.double() * torch.tensor([1.0, *spread[1:]], device=device, dtype=torch.float64)[:, None, None]
    ends = moves.sum(1) + bias * gain.sum().item(), moves[:, 0] + moves[:, 3] + bias * gain[3].item()
    end, path, by_table, *grads = value_and_grads(reverse_chain, args)
    close([end, path[3]], [x.tanh() for x in ends], 1e-6 if dtype == torch.float32 else 1e-14)
    weighting = torch.arange(1.0, end.numel() + 1, device=device, dtype=torch.float64).sin().view_as(end)
    by_bias = gain.sum().item() * (weighting * (1 - ends[0].tanh().square())).sum(1)
    close(grads[-1:], [by_bias], 1e-5 if dtype == torch.float32 else 1e-13)
    assert not by_table.any() and not grads[0].any()


@devices
def test_a_score_network_takes_the_chain_of_sampling(device):
    levels, generators = variance_exploding(4), [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    network = ScoreNetwork(2, 5, 3, 16, 4, generators).to(device, torch.float64)
    obs, noise = (torch.randn(*shape, device=device).double() for shape in ((2, 9, 5), (2, 4, 9, 3)))
    wanted = reverse(lambda action, k: network(obs, action, k), noise, levels)
    gain = torch.tensor(levels.gain, dtype=torch.float64)
    end, path = network.chain(obs, noise, gain, gain.sqrt())
    close(path, [action.detach() for action in wanted], 1e-14)
    both = (torch.autograd.grad(action.cos().sum(), network.parameters()) for action in (end, wanted[0]))
    close(*both, 1e-13)


@devices
@pytest.mark.parametrize("name", ["relu", "gelu"])
@pytest.mark.parametrize(("batch", "actions"), [(50, 6), (9, 1)])
def test_products_in_bfloat16(name, batch, actions, device):
    """Hidden values near the middle of two bfloat16 may be rounded to the other one: far from all of them."""
    args = case(2, batch, 3, 17, actions, 16, (70, 64), [name, name, None], device=device)
    wanted = value_and_grads(partial(plain, bf16=2), args)
    assert error(ours(args, 2), wanted) < 1e-12  # float64: the reference
    single = to(args, torch.float32)
    assert error(ours(single, 2), wanted) < 1e-3 < error(ours(single), wanted)


@pytest.mark.parametrize("batch", [1, 80, 131, 300])  # 80: three threads take 36, 36 and 8 rows
@pytest.mark.parametrize("bf16", [0, 2])
@pytest.mark.parametrize("names", [["relu", "relu", None], ["gelu", "mish", "tanh"]])
def test_threads_do_not_change_bits(names, bf16, batch):
    args = to(case(1, batch, 3, 11, 6, 16, (100, 128), names), torch.float32)
    found = on_threads(lambda: ours(args, bf16))
    assert same(found[0], found[1:])


@pytest.mark.parametrize("batch", [8, 50])
@pytest.mark.parametrize("bf16", [0, 2])
def test_runs_do_not_change_one_another(bf16, batch):
    args = to(case(3, batch, 4, 5, 2, 3, (40, 33), ["relu", "gelu", None]), torch.float32)
    every = [t.clone().requires_grad_() for t in (args[2], *args[3], *args[4])]

    def end_and_grads(run):
        obs, noise, *params = (t[run] for t in (*args[:2], *every))
        end, path = reverse_chain(obs, noise, params[0], params[1:4], params[4:], *args[5:], bf16)
        return [end, path.transpose(0, 1), *torch.autograd.grad(end.sin().sum(), params)]

    together = end_and_grads(slice(None))
    assert all(same(end_and_grads(slice(r, r + 1)), [[t[r : r + 1] for t in together]]) for r in range(3))


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bf16", [0, 2])
def test_with_and_without_gradients_the_numbers_are_the_same(bf16, dtype, device):
    args = to(case(2, 131, 4, 7, 3, 5, (33, 40), ["relu", "silu", None], device=device), dtype)
    whole = ours(args, bf16)
    assert same(whole[:2], [value_and_grads(partial(reverse_chain, bf16=bf16), args, lambda position: False)])
    with torch.no_grad():
        assert same(whole[:2], [reverse_chain(args[0], args[1], args[2].requires_grad_(), *args[3:], bf16)])


@devices
def test_a_row_that_is_not_a_number_spoils_itself_alone(device):
    obs, *rest = to(case(2, 30, 3, hidden=(17,), names=["mish", None], device=device), torch.float32)
    obs[1, 3, 2] = torch.nan
    end, path = reverse_chain(obs, *rest)
    assert all(t.isnan().any(-1).nonzero().tolist() == [[1, 3]] for t in (end, *path))
