"""Networks of a stack are clipped one by one."""

import torch

from pyslsac.optim import minimise_members


def test_each_network_is_clipped_on_its_own():
    """Gradients of norm 5 and 1, spread over two parameters: the first is halved, the second stays."""
    one, two = torch.nn.Parameter(torch.zeros(1, 2, 1)), torch.nn.Parameter(torch.zeros(1, 2, 1))
    slopes = torch.tensor([[[3.0], [0.6]]]), torch.tensor([[[4.0], [0.8]]])
    optimizer = torch.optim.SGD([one, two], lr=1.0)
    loss = (one * slopes[0]).sum((1, 2)) + (two * slopes[1]).sum((1, 2))
    metrics = minimise_members((loss, {"m": loss.detach()}), optimizer, grad_norm=2.5)
    torch.testing.assert_close(one.detach(), torch.tensor([[[-1.5], [-0.6]]]))
    torch.testing.assert_close(two.detach(), torch.tensor([[[-2.0], [-0.8]]]))
    assert metrics["m"].tolist() == [0.0]
