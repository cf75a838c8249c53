"""Which MJCF files of which gymnasium the installed mujoco loads and steps: bench/results/versions/model_versions.json.

One run asks one mujoco, and its answers are merged into the file. A folder holds one gymnasium's files and is named
after its version (what a wheel has under gymnasium/envs/mujoco/assets); without one the installed gymnasium is asked.
Neither gymnasium nor torch is imported, so an environment with mujoco alone will do.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
from pathlib import Path

import mujoco
import numpy as np

RESULTS = Path(__file__).parent / "results" / "versions" / "model_versions.json"
MODELS = ("ant", "half_cheetah", "hopper", "humanoid", "swimmer", "walker2d")
STEPS = 10


def installed() -> tuple[str, Path]:
    """The installed gymnasium's version, and its files found by path."""
    places = importlib.util.find_spec("gymnasium").submodule_search_locations
    return importlib.metadata.version("gymnasium"), Path(next(iter(places))) / "envs/mujoco/assets"


def answer(path: Path) -> str:
    """`ok`, or what mujoco said."""
    try:
        model = mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        return " ".join(str(error).split())
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, STEPS)
    whole = np.isfinite(data.qpos).all() and np.isclose(data.time, STEPS * model.opt.timestep)
    return "ok" if whole else f"unstable within {STEPS} steps"


def by_version(table: dict[str, dict]) -> dict[str, dict]:
    return dict(sorted(table.items(), key=lambda item: [int(part) for part in re.findall(r"\d+", item[0])]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of MJCF files, each named after its gymnasium")
    folders = {path.name: path for path in parser.parse_args().folders} or dict([installed()])
    mujoco.set_mju_user_warning(lambda text: None)  # else a deprecation leaves a log file where one stands
    kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"sha256": {}, "mujoco": {}}
    answers = kept["mujoco"].setdefault(mujoco.__version__, {})
    for version, folder in folders.items():
        paths = {name: folder / f"{name}.xml" for name in MODELS}
        kept["sha256"][version] = {n: hashlib.sha256(p.read_bytes()).hexdigest()[:12] for n, p in paths.items()}
        answers[version] = {name: answer(path) for name, path in paths.items()}
        for name, text in answers[version].items():
            print(f"mujoco {mujoco.__version__:<8} gymnasium {version:<8} {name:<14}{text}")
    kept["sha256"] = by_version(kept["sha256"])
    kept["mujoco"] = by_version({version: by_version(table) for version, table in kept["mujoco"].items()})
    fresh = RESULTS.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    fresh.replace(RESULTS)


if __name__ == "__main__":
    main()
