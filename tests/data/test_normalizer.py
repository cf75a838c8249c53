"""Running moments against numpy over everything seen."""

import torch

from pyslsac.data import RunningNormalizer


def test_the_moments_are_those_of_all_values_seen():
    torch.manual_seed(0)
    stream = torch.randn(2, 60, dtype=torch.float64) * 3 + torch.tensor([[5.0], [-2.0]])
    normalizer = RunningNormalizer(2)
    for chunk in stream.split([1, 7, 2, 50], dim=1):
        out = normalizer(chunk)
    torch.testing.assert_close(normalizer.mean, stream.mean(1))
    expected = (stream[:, -50:] - stream.mean(1, keepdim=True)) / stream.std(1, keepdim=True)
    torch.testing.assert_close(out, expected.clamp(-5, 5))


def test_a_constant_stream_is_zero_and_the_state_comes_back():
    normalizer = RunningNormalizer(1)
    assert normalizer(torch.full((1, 4), 3.0)).tolist() == [[0.0] * 4]
    other = RunningNormalizer(1)
    other.load_state_dict(normalizer.state_dict())
    x = torch.tensor([[3.005]])
    assert torch.equal(other(x), normalizer(x))
