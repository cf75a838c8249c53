"""Every test starts from the same random state."""

import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    try:
        import torch
    except ImportError:  # the tests of envs/ and of the repository run without torch
        return
    torch.manual_seed(0)
