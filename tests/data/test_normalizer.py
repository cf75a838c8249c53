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


def test_nothing_changes_nothing():
    normalizer, empty = RunningNormalizer(2), torch.zeros(2, 0)
    assert normalizer(empty).shape == (2, 0) and normalizer.count == 0
    normalizer.take(torch.tensor([[1.0, 3.0], [2.0, 2.0]]))
    normalizer.take(empty)
    assert normalizer.mean.tolist() == [2.0, 2.0] and normalizer.count == 2


def test_a_constant_stream_is_zero_and_the_state_comes_back():
    normalizer = RunningNormalizer(1)
    assert normalizer(torch.full((1, 4), 3.0)).tolist() == [[0.0] * 4]
    other = RunningNormalizer(1)
    other.load_state_dict(normalizer.state_dict())
    x = torch.tensor([[3.005]])
    assert torch.equal(other(x), normalizer(x))


def test_every_number_of_an_observation_has_moments_of_its_own():
    torch.manual_seed(0)
    stream = torch.randn(2, 40, 3) * torch.tensor([1.0, 10.0, 0.5]) + torch.tensor([0.0, -4.0, 2.0])
    normalizer = RunningNormalizer(2, (3,))
    assert torch.equal(normalizer.normalize(stream), stream)  # nothing is known yet
    for chunk in stream.split(8, dim=1):
        normalizer.take(chunk)
    out = normalizer.normalize(stream)
    expected = (stream - stream.mean(1, keepdim=True)) / stream.std(1, keepdim=True)
    torch.testing.assert_close(out, expected.clamp(-5, 5), rtol=1e-5, atol=1e-5)
    assert normalizer.count == 40 and out.dtype == torch.float32
