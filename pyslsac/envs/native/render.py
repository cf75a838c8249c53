"""Pictures of a running simulation: a `Camera` draws them into arrays, a `Window` onto the screen. Neither changes it.

MUJOCO_GL chooses the way into OpenGL, as ever in MuJoCo; where it is unset, the first of glfw (with a display), EGL and
OSMesa that works in a process of its own is taken. A failure spoils its process: PyOpenGL stays with the first library,
and MuJoCo, which loads OpenGL's functions once, aborts at the next try.
"""

from __future__ import annotations

import atexit
import copy
import functools
import importlib
import os
import subprocess
import sys
import threading
import weakref
from ctypes.util import find_library
from typing import Any

import mujoco
import numpy as np

from pyslsac.envs.errors import TaskError

_PROBE = """
sys.excepthook = lambda kind, error, trace: print(kind.__name__ + ":", error, flush=True)
*_, mujoco, backend = map(importlib.import_module, sys.argv[1:])
context = backend.GLContext(16, 16)
context.make_current()
drawer = mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 150)
os._exit(0)  # past the destructors, of which some fail"""
_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
_REMEDY = "Install libegl1 or libosmesa6 by apt-get and pyopengl by pip; MUJOCO_GL may be egl, osmesa, glfw or unset"


def _backends() -> tuple[str, ...]:
    """The modules of mujoco to try, in order."""
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    if asked not in ("", "enable", "enabled", "on", "true", "1"):
        return ("glfw" if asked in ("glx", "wgl") else asked,)
    display = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return ("cgl",) * (sys.platform == "darwin") + ("glfw",) * bool(display) + ("egl", "osmesa")


def _failure(backend: str) -> str:
    """Why `backend` cannot draw, found out in a process of its own in about a second; nothing where it can."""
    modules = ["OpenGL.platform"] * ("OpenGL.platform" in sys.modules) + ["mujoco", f"mujoco.{backend}"]
    command = [sys.executable, "-c", f"import importlib, os, sys; sys.path[:] = {sys.path}{_PROBE}", *modules]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if backend in _LIBRARIES and not find_library(_LIBRARIES[backend]):
            return f"lib{_LIBRARIES[backend]} is not installed"
        return " ".join(str(error.stdout or "").split()) or f"... {str(error)[-40:]}"  # by which signal, or too late
    return ""


@functools.cache  # the functions MuJoCo loads are this one's for as long as the process lives
def _context_class() -> Any:
    """The GLContext of the first backend that works."""
    tried = []
    for backend in _backends():
        if not (failure := _failure(backend)):
            return importlib.import_module(f"mujoco.{backend}").GLContext
        tried.append(f"{backend} ({failure})")
    raise TaskError(f"no pictures can be drawn here: tried {', '.join(tried)}. {_REMEDY}")


def _eye(model: Any, camera: str | int | None) -> Any:
    """The MjvCamera called `camera`, or of that index; -1: a free one looking at model.stat.center."""
    index = {mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_CAMERA, i) or i: i for i in range(model.ncam)}
    found = index.get("track", index.get("fixedfar", -1)) if camera is None else index.get(camera, camera)
    if found not in range(-1, model.ncam):
        raise TaskError(f"there is no camera {camera!r}: wanted one of {[*index]}, its index, or -1 for a free one")
    eye = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, eye)
    eye.type, eye.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED if found != -1 else mujoco.mjtCamera.mjCAMERA_FREE, found
    return eye


class Camera:
    """Draws `model` from `camera`: a name, an index, -1: free, None: "track", else "fixedfar", else free."""

    def __init__(self, model: Any, width: int = 480, height: int = 480, camera: str | int | None = None) -> None:
        self._drawer: Any = None
        self._model, self._eye, self._option = model, _eye(model, camera), mujoco.MjvOption()
        self._option.geomgroup[:] = 1  # else hazards and goals stay hidden
        self._scene, self._area = mujoco.MjvScene(model, maxgeom=10_000), mujoco.MjrRect(0, 0, width, height)
        large = copy.copy(model)  # from which MjrContext takes its size
        large.vis.global_.offwidth, large.vis.global_.offheight = width, height
        self._context = _context_class()(width, height)
        self._context.make_current()
        self._drawer = mujoco.MjrContext(large, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._drawer)
        living = weakref.WeakSet([self])  # closed before the display, whose end mujoco registered earlier
        atexit.register(lambda: [*map(Camera.close, list(living))])

    def picture(self, data: Any) -> np.ndarray:
        """What it sees where `data` has the bodies: uint8 [height, width, 3], the top row first."""
        if self._drawer is None:
            raise TaskError("picture() of a closed Camera: make another")
        self._context.make_current()  # another Camera's may be
        kinds, area = mujoco.mjtCatBit.mjCAT_ALL.value, self._area
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._eye, kinds, self._scene)
        mujoco.mjr_render(area, self._scene, self._drawer)
        pixels = np.empty((area.height, area.width, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, area, self._drawer)
        return pixels[::-1].copy()

    def close(self) -> None:
        if self._drawer is not None:
            self._context.make_current()
            self._drawer.free()
            self._drawer = self._context = None  # the context frees itself once

    __del__ = close


class Window:
    """Shows `model` in MuJoCo's viewer, which has copies of its own: the mouse pushes nothing in the simulation."""

    def __init__(self, model: Any, camera: str | int | None = None) -> None:
        self._model, self._data, eye = copy.copy(model), mujoco.MjData(model), _eye(model, camera)
        viewer, before = importlib.import_module("mujoco.viewer"), threading.enumerate()
        try:
            if failure := _failure("glfw"):  # launch_passive would wait for ever
                raise RuntimeError(failure)
            self._handle = viewer.launch_passive(self._model, self._data, show_left_ui=False, show_right_ui=False)
        except (RuntimeError, TypeError) as error:  # on macOS outside mjpython; of mujoco 2
            needs = f"a display and mujoco 3 (here is {mujoco.__version__})"
            raise TaskError(f"no window can be opened, which needs {needs}; a Camera does not: {error}") from error
        self._threads = [thread for thread in threading.enumerate() if thread not in before]
        with self._handle.lock():
            self._handle.opt.geomgroup[:] = 1
            self._handle.cam.type, self._handle.cam.fixedcamid = eye.type, eye.fixedcamid

    def show(self, data: Any) -> None:
        """Brings the window up to `data`, if it is still open."""
        with self._handle.lock():
            for name in (name for name in dir(data) if name[0] == "x" or "_x" in name):  # xpos, geom_xmat, ...
                getattr(self._data, name)[:] = getattr(data, name)
        self._handle.sync()

    def close(self) -> None:
        self._handle.close()
        for thread in self._threads:  # else glfw may end at exit under a thread that draws, and X the process with it
            thread.join(timeout=5)
