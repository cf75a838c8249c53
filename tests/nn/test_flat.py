"""One vector a run, and back."""

import torch

from pyslsac.nn import flat, unflat


def test_there_and_back():
    parts = [torch.arange(12.0).view(2, 3, 2), torch.arange(2.0).view(2, 1), torch.arange(8.0).view(2, 4)]
    vector = flat(parts)
    assert vector.shape == (2, 11) and vector[1].tolist() == [6, 7, 8, 9, 10, 11, 1, 4, 5, 6, 7]
    assert all(one.equal(other) for one, other in zip(unflat(vector, parts), parts, strict=True))
