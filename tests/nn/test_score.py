"""The score network against the formula written out, levels one by one and by row, and its dtype rules."""

import torch

from pyslsac.nn import ScoreNetwork


def network(runs: int = 2, **options) -> ScoreNetwork:
    generators = [torch.Generator().manual_seed(s) for s in range(runs)]
    return ScoreNetwork(runs, 3, 2, 8, 5, generators, embedding=4, **options)


def test_the_formula_one_number_at_a_time():
    net = network().double()
    obs, action = torch.randn(2, 4, 3).double(), torch.randn(2, 4, 2).double()
    table, *layers = net.parameters()
    assert table.shape == (2, 5, 4) and [x.shape[1:] for x in layers[::2]] == [(9, 8), (8, 8), (8, 8), (8, 2)]
    for level in (0, 3):
        out = net(obs, action, level)
        assert out.shape == (2, 4, 2)
        for run, row in ((0, 0), (1, 3)):
            h = torch.cat([obs[run, row], action[run, row], table[run, level]])
            for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
                h = torch.relu(h @ weight[run] + bias[run])
            torch.testing.assert_close(out[run, row], h @ layers[-2][run] + layers[-1][run])


def test_a_level_of_each_row():
    net = network().double()
    obs, action = torch.randn(2, 6, 3).double(), torch.randn(2, 6, 2).double()
    level = torch.tensor([[0, 1, 2, 3, 4, 4], [3, 0, 0, 2, 1, 3]])
    out = net(obs, action, level)
    for run in range(2):
        for row in range(6):
            torch.testing.assert_close(out[run, row], net(obs, action, int(level[run, row]))[run, row])
    out[0, 4:].sum().backward()  # two rows of level 4
    moved = net.table.grad.abs().sum(-1) > 0
    assert moved.nonzero().tolist() == [[0, 4]]


def test_a_run_is_the_same_alone():
    both = network(2)
    alone = ScoreNetwork(1, 3, 2, 8, 5, [torch.Generator().manual_seed(1)], embedding=4)
    for together, single in zip(both.parameters(), alone.parameters(), strict=True):
        assert torch.equal(together[1:], single)
    assert abs(both.table.std().item() - 1) < 0.3


def test_bfloat16_stays_inside():
    exact, rough = network(), network(bf16=True)
    inputs = torch.randn(2, 8, 3), torch.randn(2, 8, 2), 2
    a, b = exact(*inputs), rough(*inputs)
    assert b.dtype == torch.float32 and 0 < (a - b).abs().max() < 0.05
