"""quantile_features against the dense layers, in eager torch and compiled.

The passes of a critic that learns (forward and backward), of one that only hands a gradient on (backward to psi alone)
and of a target (forward alone). psi is the output of a ReLU on random numbers: half of its entries are zero.
"""

from collections.abc import Callable, Iterator

import torch
from _timing import main
from torch import Tensor

from pyslsac.ops import quantile_features


def dense(psi: Tensor, cosines: Tensor, phi_weight: Tensor, phi_bias: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The layers the way implementations of IQN write them, batched over runs."""
    phi = torch.relu(torch.baddbmm(phi_bias.unsqueeze(1), cosines.flatten(1, 2), phi_weight))  # [G, B N, K]
    joint = phi.unflatten(1, cosines.shape[1:3]) * psi.unsqueeze(2)  # [G, B, N, K]
    features = torch.relu(torch.baddbmm(bias.unsqueeze(1), joint.flatten(1, 2), weight))
    return features.unflatten(1, cosines.shape[1:3])


def cases(device: torch.device, quick: bool) -> Iterator[tuple[str, dict[str, Callable[[], object]]]]:
    rivals: dict[str, Callable[..., Tensor]] = {"quantile_features": quantile_features, "dense layers": dense}
    if not quick:
        rivals["torch.compile of dense layers"] = torch.compile(dense, dynamic=False)
    cosines, width = (8, 32) if quick else (64, 256)
    for states, quantiles in ((16, 8),) if quick else ((256, 32), (128, 8)):
        args = [
            torch.randn(1, states, width, device=device).relu(),
            torch.cos(3 * torch.randn(1, states, quantiles, cosines, device=device)),
            torch.randn(1, cosines, width, device=device) / cosines**0.5,
            torch.zeros(1, width, device=device),
            torch.randn(1, width, width, device=device) / width**0.5,
            torch.zeros(1, width, device=device),
        ]
        grad = torch.randn(1, states, quantiles, width, device=device)
        size = f"{states} states x {quantiles} quantiles, width {width}"

        def run(layers: Callable[..., Tensor], learns: tuple[int, ...], args: list = args, grad: Tensor = grad) -> None:
            args = [x.requires_grad_(i in learns) for i, x in enumerate(x.detach() for x in args)]
            features = layers(*args)
            if learns:
                torch.autograd.grad(features, [args[i] for i in learns], grad)

        for pass_, learns in {
            "forward + backward": (0, 2, 3, 4, 5),
            "forward + backward, weights frozen": (0,),
            "forward": (),
        }.items():
            yield (
                f"{size}, {pass_}",
                {name: lambda f=f, learns=learns, run=run: run(f, learns) for name, f in rivals.items()},
            )


if __name__ == "__main__":
    main("quantile_features", cases)
