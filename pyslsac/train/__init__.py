"""Training: `pyslsac.train(...)` is this package, called."""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """`pyslsac.train` names both this package and the function in `run.py`: calling the one calls the other."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from pyslsac.train.run import train

        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
