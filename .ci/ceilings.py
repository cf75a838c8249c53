"""Holds what ptxas says of every kernel against the committed ceilings of csrc/cuda/ceilings.json.

A kernel may use as many registers, bytes of shared memory and bytes of stack as its ceilings say, on each architecture;
it may spill nothing, and wgmma may not be serialized. A kernel without ceilings and ceilings without a kernel fail too.
The logs are those of `nvcc -Xptxas -v`, one a source, demangled: .ci/cuda_kernels makes them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

CEILINGS = Path(__file__).resolve().parent.parent / "csrc" / "cuda" / "ceilings.json"
LIMITED = {"registers": "registers", "shared": "bytes of shared memory", "stack": "bytes of stack"}
GRANULE = 8  # registers are handed out to warps in eights: ceilings are rounded up to that
ENTRY = re.compile(r"Compiling entry function '(.+)' for '(\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+)(?:\+\d+)? bytes smem")
SERIALIZED = re.compile(r"wgmma.*serializ")
Resources = dict[str, int]


def kernel(signature: str) -> str:
    """A kernel's name with its template arguments, without return type, our namespaces and arguments."""
    name = re.sub(r"\(anonymous namespace\)::|pyslsac::(cuda::)?", "", signature)
    depth = 0
    for i, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            name = name[:i]
            break
    return name.removeprefix("void ")


def read(source: str, log: str) -> tuple[dict[str, Resources], list[str]]:
    """{"source: kernel, architecture": what it uses}, and the lines that tell of serialized wgmma."""
    found: dict[str, Resources] = {}
    uses: Resources = {}
    for line in log.splitlines():
        if match := ENTRY.search(line):
            name = f"{source}: {kernel(match[1])}, {match[2]}"
            uses = found.setdefault(name, dict.fromkeys((*LIMITED, "spilled"), 0))
        if match := FRAME.search(line):  # a function that a kernel calls counts as the kernel's
            uses["stack"] = max(uses["stack"], int(match[1]))
            uses["spilled"] += int(match[2]) + int(match[3])
        if match := USED.search(line):
            uses["registers"] = max(uses["registers"], int(match[1]))
            uses["shared"] = max(uses["shared"], *(int(size) for size in SHARED.findall(line)), 0)
    return found, [f"{source}: {line.strip()}" for line in log.splitlines() if SERIALIZED.search(line)]


def faults(found: Mapping[str, Resources], ceilings: Mapping[str, Resources]) -> Iterator[str]:
    """One sentence for everything above its ceiling."""
    for name, uses in found.items():
        if uses["spilled"]:
            yield f"{name} spills {uses['spilled']} bytes of registers; its ceiling is 0"
        if name not in ceilings:
            yield f"{name} has no ceilings: `make ceilings` writes them"
            continue
        for what, unit in LIMITED.items():
            if uses[what] > ceilings[name][what]:
                yield f"{name} uses {uses[what]} {unit}; its ceiling is {ceilings[name][what]}"
    for name in ceilings.keys() - found.keys():
        yield f"{name} has ceilings, but there is no such kernel: `make ceilings` strikes them out"


def rounded(found: Mapping[str, Resources]) -> dict[str, Resources]:
    """The ceilings of what was found."""
    sizes = {name: uses | {"registers": -(-uses["registers"] // GRANULE) * GRANULE} for name, uses in found.items()}
    return {name: {what: uses[what] for what in LIMITED} for name, uses in sorted(sizes.items())}


def main(folder: Path, write: bool) -> int:
    found: dict[str, Resources] = {}
    wrong: list[str] = []
    for log in sorted(folder.glob("*.cu.log")):
        kernels, serialized = read(log.stem, log.read_text("utf-8"))
        found |= kernels
        wrong += serialized
    version = (folder / "nvcc").read_text("utf-8").strip()
    kept = json.loads(CEILINGS.read_text("utf-8")) if CEILINGS.exists() else {"nvcc": version, "kernels": {}}
    if write:
        wrong += faults(found, rounded(found))
        lines = ",\n".join(f'  "{name}": {json.dumps(uses)}' for name, uses in rounded(found).items())
        CEILINGS.write_text(f'{{\n "nvcc": "{version}",\n "kernels": {{\n{lines}\n }}\n}}\n', "utf-8")
        print(f"written: {CEILINGS}")
    else:
        wrong += faults(found, kept["kernels"])
    for fault in wrong:
        print(f"FAILED {fault}")
    if wrong and kept["nvcc"] != version:
        print(f"the ceilings are of nvcc {kept['nvcc']}, and this is {version}: `make ceilings` writes those of yours")
    if not found:
        print(f"FAILED there is no kernel in {folder}")
    print(f"{len(found)} kernels, {len(wrong)} faults")
    return int(bool(wrong) or not found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", type=Path, help="folder of the logs")
    parser.add_argument("--write", action="store_true", help="write the ceilings anew")
    options = parser.parse_args()
    sys.exit(main(options.logs, options.write))
