"""Print the folder of the torch package that this interpreter, its virtual environment or its base would import."""

import importlib.util
import os
import sys
import sysconfig
from pathlib import Path

spec = importlib.util.find_spec("torch")
candidates = [Path(spec.origin).parent] if spec and spec.origin else []
for prefix in filter(None, (os.environ.get("VIRTUAL_ENV"), sys.prefix, sys.base_prefix)):
    candidates.append(Path(sysconfig.get_path("platlib", vars={"base": prefix, "platbase": prefix}), "torch"))
print(next((path for path in candidates if (path / "lib").exists()), ""))
