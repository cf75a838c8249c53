"""Builds a kernel file with the host compiler and runs it without a GPU; what the kernel does wrong is a KernelFault.

`<stem>.cpp` beside this file includes the kernel's file and offers C functions that fill its struct and launch it.
"""

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "cuda_emulation"
FLAGS = ["-std=c++17", "-O1", "-g1", "-fPIC", "-w", "-ffp-contract=off", "-U_FORTIFY_SOURCE"]
FLAGS += ["-fno-gnu-unique"]  # else libraries with variables of one name share them
# The hooks of these sanitizers are the emulator's own; their libraries are not linked.
HOOKS = ["-fsanitize=thread,alignment,bounds", "-fno-sanitize-recover=alignment,bounds"]
GAP = 1 << 16  # bytes between two buffers: an access that misses one meets no other
BARRIER = re.compile(r"\b(__syncthreads|__syncwarp|cluster_sync|copy_async_wait<\d+>)\(")
Change = tuple[str, str, str]  # a file, a text that stands there once, what shall stand there instead


class KernelFault(Exception):
    """What a kernel did wrong, and where."""


@dataclass(frozen=True)
class Output:
    """A tensor whose contents before the launch mean nothing: who reads them before they are written is at fault."""

    tensor: Tensor


Argument = Tensor | Output | int | float | list | None


@functools.cache
def compiler() -> str:
    """g++; without it the tests are skipped, and under CI they fail."""
    found = shutil.which("g++")
    if found and sys.platform == "linux":
        return found
    give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    give_up(f"kernels run on the host on Linux with GCC; this is {sys.platform}, g++ on PATH: {found}")
    raise AssertionError


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert not done.returncode, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def closure(*names: str) -> dict[str, str]:
    """The files named, below the root, and all of ours that they include: path and text."""
    files: dict[str, str] = {}
    pending = list(names)
    while pending:
        name = os.path.normpath(pending.pop())
        if name in files:
            continue
        files[name] = (ROOT / name).read_text("utf-8")
        for included in re.findall(r'#include ["<]([\w./]+)[">]', files[name]):
            folders = (os.path.dirname(name), "tests/cuda_emulation")
            pending += [f"{folder}/{included}" for folder in folders if (ROOT / folder / included).is_file()][:1]
    return dict(sorted(files.items()))


def sources(stem: str) -> dict[str, str]:
    return closure(f"tests/cuda_emulation/{stem}.cpp", "tests/cuda_emulation/device.h")


def barriers(stem: str) -> list[str]:
    """`file:line` of every barrier in the files of a kernel, the emulation's own apart."""
    found = []
    for name, text in sources(stem).items():
        lines = enumerate(text.splitlines(), 1)
        if name.endswith((".cu", ".cuh")) and name not in ("csrc/mma.cuh", "csrc/cluster.cuh"):
            found += [f"{Path(name).name}:{n}" for n, line in lines if BARRIER.search(line.split("//")[0])]
    return found


def made(files: dict[str, str], target: str, *flags: str | Path) -> Path:
    """The file `target` that the compiler makes of copies of these files, with these flags; once for each content."""
    content = "".join(f"{name}\n{text}\n" for name, text in files.items())
    key = hashlib.sha256(f"{compiler()} {FLAGS} {flags}\n{content}".encode()).hexdigest()[:16]
    folder = BUILD / f"{target}-{key}"
    if not (folder / target).exists():
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
        here = folder / "tests/cuda_emulation"
        unfinished = folder / f"{target}.{os.getpid()}"
        run(compiler(), *FLAGS, *(str(flag).replace("HERE", str(here)) for flag in flags), "-o", unfinished)
        unfinished.rename(folder / target)
    return folder / target


def build(stem: str, *changes: Change) -> "Library":
    """The kernel's library, from the sources as they are or as they are with these changes."""
    files = sources(stem)
    for name, old, new in changes:
        assert files[name].count(old) == 1, f"{name} has {files[name].count(old)} times: {old}"
        files[name] = files[name].replace(old, new)
    emulator = [
        made(closure(f"tests/cuda_emulation/{part}.cpp"), f"{part}.o", "-O2", "-c", f"HERE/{part}.cpp")
        for part in ("threads", "memory")
    ]
    kernel = made(files, f"{stem}.o", *HOOKS, "-IHERE", "-include", "device.h", "-c", f"HERE/{stem}.cpp")
    objects = [kernel, *emulator]  # their folders name their contents
    target = BUILD / f"{stem}-{hashlib.sha256(str(objects).encode()).hexdigest()[:16]}.so"
    if not target.exists():
        unfinished = target.with_suffix(f".{os.getpid()}")
        run(compiler(), "-shared", "-o", unfinished, *objects, "-ldl")
        unfinished.rename(target)
    return Library(target)


class Library:
    """Runs the C functions of a kernel's library on copies of tensors that lie far apart, and copies them back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = ctypes.CDLL(str(path))
        self.library.emulation_fault.restype = ctypes.c_char_p

    def __call__(self, function: str, *args: Argument, seed: int = 0, without: str = "") -> None:
        """Call `function`; tensors become pointers, None a null pointer, a list an array of int64 and pointers.

        `seed` orders blocks and threads. `without` is the `file:line` of a barrier that this run leaves out.
        Raises KernelFault; the tensors are then as they were.
        """
        tensors: dict[int, tuple[Tensor, bool, str]] = {}  # by address on the caller's side
        for i, arg in enumerate(args):
            for j, entry in enumerate(arg if isinstance(arg, list) else [arg]):
                tensor = entry.tensor if isinstance(entry, Output) else entry
                if isinstance(tensor, Tensor):
                    assert tensor.is_contiguous()
                    name = f"argument {i}" + (f"[{j}]" if isinstance(arg, list) else "")
                    tensors[tensor.data_ptr()] = (tensor, isinstance(entry, Output), name)
        arena = torch.empty(sum(t.nbytes + GAP + 64 for t, _, _ in tensors.values()) + GAP, dtype=torch.uint8)
        places, free = {}, arena.data_ptr() + GAP
        self.library.emulation_begin(ctypes.c_uint64(seed), without.encode())
        for pointer, (tensor, fresh, name) in tensors.items():
            places[pointer] = place = -(-free // 64) * 64 + pointer % 64
            free = place + tensor.nbytes + GAP
            if fresh:
                ctypes.memset(place, 0xFF, tensor.nbytes)
            else:
                ctypes.memmove(place, pointer, tensor.nbytes)
            size = ctypes.c_size_t(tensor.nbytes)
            self.library.emulation_buffer(ctypes.c_void_p(place), size, name.encode(), fresh)

        def number(entry: Argument) -> int:
            tensor = entry.tensor if isinstance(entry, Output) else entry
            return places[tensor.data_ptr()] if isinstance(tensor, Tensor) else int(tensor or 0)

        def passed(arg: Argument) -> object:
            if isinstance(arg, float):
                return ctypes.c_double(arg)
            if isinstance(arg, list):
                return (ctypes.c_int64 * len(arg))(*map(number, arg))
            return ctypes.c_int64(number(arg))

        getattr(self.library, function)(*map(passed, args))
        if fault := self.library.emulation_fault().decode():
            raise KernelFault(self.located(fault))
        for pointer, (tensor, _, _) in tensors.items():
            ctypes.memmove(pointer, places[pointer], tensor.nbytes)

    def located(self, fault: str) -> str:
        """The message with every `{offset}` as `file:line`."""
        found = re.findall(r"\{(\w+)\}", fault)
        lines = run("addr2line", "-e", self.path, *found).splitlines() if found else []
        for offset, line in zip(found, lines, strict=True):
            fault = fault.replace(f"{{{offset}}}", line.split("/")[-1])
        return fault
