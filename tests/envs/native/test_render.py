"""Pictures: a red ball is red where it is, the simulation stays as it was, and a machine that cannot draw says why."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from pyslsac.envs.errors import TaskError
from pyslsac.envs.native import render

BALL = """<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    {cameras}
    <geom type="plane" size="3 3 .1"/>
    <geom name="hidden" pos="-1 -1 .1" size=".2" rgba="0 0 1 1" group="9"/>
    <body pos="0.5 0 .5"><freejoint/><geom size=".2" rgba="1 0 0 1"/></body>
  </worldbody>
</mujoco>"""
ABOVE = '<camera name="above" pos="0 0 4" fovy="60"/>'
ROOT = Path(__file__).parents[3]


def world(cameras: str = ABOVE) -> tuple[Any, Any]:
    model = mujoco.MjModel.from_xml_string(BALL.format(cameras=cameras))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def colour(picture: np.ndarray, x: float, y: float, z: float) -> str:
    """Which colour the picture from above has where it shows the point (x, y, z)."""
    height, width, _ = picture.shape
    scale = height / 2 / np.tan(np.radians(60) / 2) / (4 - z)  # pixels per metre
    pixel = picture[round(height / 2 - scale * y), round(width / 2 + scale * x)].astype(int)
    return next((name for i, name in enumerate(("red", "green", "blue")) if pixel[i] > 2 * pixel.sum() / 3), "grey")


@pytest.fixture
def draws() -> None:
    try:
        render._context_class()
    except TaskError as error:
        pytest.skip(str(error))


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nobody chose how to draw."""
    for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM", "MUJOCO_EGL_DEVICE_ID", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "OpenGL.platform", raising=False)  # which chose by what was then
    return monkeypatch


@pytest.mark.parametrize(("width", "height"), [(64, 48), (1, 1), (31, 900), (1000, 33)])
def test_a_picture_has_the_size_asked_for(draws: None, width: int, height: int) -> None:
    """Also where it is larger than the model's own 640 x 480, which stay."""
    model, data = world()
    picture = render.Camera(model, width, height).picture(data)
    assert (picture.shape, picture.dtype, picture.flags.c_contiguous) == ((height, width, 3), np.uint8, True)
    assert (picture.max() > picture.min()) or width * height == 1
    assert (model.vis.global_.offwidth, model.vis.global_.offheight) == (640, 480)


def test_the_ball_is_red_where_it_is(draws: None) -> None:
    model, data = world()
    camera = render.Camera(model, 200, 160, "above")
    first = camera.picture(data)
    assert (colour(first, 0.5, 0, 0.5), colour(first, -0.5, 0.8, 0.5)) == ("red", "grey")
    data.qpos[:2] = -0.5, 0.8
    mujoco.mj_forward(model, data)
    moved = camera.picture(data)
    assert (colour(moved, 0.5, 0, 0.5), colour(moved, -0.5, 0.8, 0.5)) == ("grey", "red")
    assert (moved != first).any() and (camera.picture(data) == moved).all()


def test_things_of_every_group_are_drawn(draws: None) -> None:
    model, data = world()
    assert colour(render.Camera(model, 200, 160, "above").picture(data), -1, -1, 0.1) == "blue"


def test_drawing_changes_nothing(draws: None, tmp_path: Path) -> None:
    def all_of(model: Any, data: Any) -> tuple[bytes, ...]:
        mujoco.mj_saveModel(model, str(tmp_path / "model"), None)
        fields = (getattr(data, name) for name in dir(data) if not name.startswith("_"))
        return (tmp_path / "model").read_bytes(), *(
            field.tobytes() for field in fields if isinstance(field, np.ndarray)
        )

    model, data = world()
    for _ in range(3):
        mujoco.mj_step(model, data)
    before = all_of(model, data)
    render.Camera(model, 700, 500).picture(data)
    assert all_of(model, data) == before


def test_cameras_take_turns_and_close_apart(draws: None) -> None:
    model, data = world()
    large, small = render.Camera(model, 80, 60, "above"), render.Camera(model, 20, 10, -1)
    pictures = large.picture(data), small.picture(data)
    assert (large.picture(data) == pictures[0]).all()
    large.close()
    large.close()
    assert (small.picture(data) == pictures[1]).all()
    with pytest.raises(TaskError, match="closed Camera"):
        large.picture(data)


@pytest.mark.parametrize(
    ("names", "chosen"), [(("fixedfar", "track"), 1), (("near", "fixedfar"), 1), (("near",), -1), ((), -1)]
)
def test_the_default_camera(names: tuple[str, ...], chosen: int) -> None:
    model, _ = world("".join(f'<camera name="{name}" pos="0 0 4"/>' for name in names))
    eye = render._eye(model, None)
    assert eye.fixedcamid == chosen
    if chosen == -1:
        assert eye.type == mujoco.mjtCamera.mjCAMERA_FREE and (eye.lookat == model.stat.center).all()


def test_a_camera_is_named_counted_or_refused() -> None:
    model, _ = world('<camera pos="0 0 4"/>' + ABOVE)
    assert [render._eye(model, camera).fixedcamid for camera in ("above", 1, 0, -1)] == [1, 1, 0, -1]
    for wrong in ("abvoe", 2, -2):
        with pytest.raises(TaskError, match=rf"no camera {wrong!r}: wanted one of \[0, 'above'\], its index, or -1"):
            render.Camera(model, 9, 9, wrong)


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({}, "linux", ("egl", "osmesa")),
        ({"DISPLAY": ":0"}, "linux", ("glfw", "egl", "osmesa")),
        ({"WAYLAND_DISPLAY": "wayland-0", "MUJOCO_GL": "on"}, "linux", ("glfw", "egl", "osmesa")),
        ({"MUJOCO_GL": " OSMesa", "DISPLAY": ":0"}, "linux", ("osmesa",)),
        ({"MUJOCO_GL": "glx"}, "linux", ("glfw",)),
        ({}, "win32", ("glfw", "egl", "osmesa")),
        ({}, "darwin", ("cgl", "glfw", "egl", "osmesa")),
    ],
)
def test_what_is_tried(bare: pytest.MonkeyPatch, variables: dict, platform: str, expected: tuple) -> None:
    bare.setattr(sys, "platform", platform)
    for name, value in variables.items():
        bare.setenv(name, value)
    assert render._backends() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pictures need no choice of a library")
def test_a_machine_that_cannot_draw_says_what_was_tried(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("PYOPENGL_PLATFORM", "nothing")  # neither EGL nor OSMesa takes that
    bare.setattr(render, "find_library", lambda name: name if name == "EGL" else None)
    with pytest.raises(TaskError) as caught:
        render._context_class.__wrapped__()
    message = str(caught.value)
    assert "egl (ImportError: " in message and "osmesa (libOSMesa is not installed)" in message
    assert all(remedy in message for remedy in ("libegl1", "libosmesa6", "pyopengl", "MUJOCO_GL"))
    bare.setenv("MUJOCO_GL", "off")
    with pytest.raises(TaskError, match=r"tried off \(.*\)\. Install"):
        render._context_class.__wrapped__()


DRAW = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import mujoco, numpy
from pyslsac.envs.native import render
model = mujoco.MjModel.from_xml_string({BALL.format(cameras=ABOVE)!r})
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
camera = render.Camera(model, 40, 30)
camera.picture(data)
print(render._context_class().__module__)
"""


@pytest.mark.parametrize("asked", ["", "egl", "osmesa"])
def test_a_backend_draws_in_a_new_process_and_ends_in_silence(bare: pytest.MonkeyPatch, asked: str) -> None:
    """Its Camera is never closed. Without a choice, the second is taken where the first fails."""
    if failure := render._failure(asked or "osmesa"):
        pytest.skip(f"{asked or 'osmesa'}: {failure}")
    variables = {"MUJOCO_GL": asked} if asked else {"MUJOCO_EGL_DEVICE_ID": "99"}
    run = subprocess.run([sys.executable, "-c", DRAW], env=os.environ | variables, capture_output=True, text=True)
    assert (run.stdout.strip(), run.returncode) == (f"mujoco.{asked or 'osmesa'}", 0)
    assert "Traceback" not in run.stderr and "Exception ignored" not in run.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there always is a display")
def test_a_window_without_a_display_is_refused(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(TaskError, match=r"no window can be opened, which needs a display and mujoco 3 \(here is \d"):
        render.Window(world()[0])


def test_a_window_shows_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {"synced": 0, "closed": 0}

    def launch_passive(model: Any, data: Any, **panels: bool) -> Any:
        seen.update(model=model, data=data)
        handle = types.SimpleNamespace(opt=mujoco.MjvOption(), cam=mujoco.MjvCamera(), lock=nullcontext)
        handle.sync = lambda: seen.update(synced=seen["synced"] + 1)
        handle.close = lambda: seen.update(closed=seen["closed"] + 1)
        return handle

    monkeypatch.setitem(sys.modules, "mujoco.viewer", types.SimpleNamespace(launch_passive=launch_passive))
    monkeypatch.setattr(render, "_failure", lambda backend: "")
    model, data = world()
    window = render.Window(model, "above")
    assert window._handle.cam.fixedcamid == 0 and window._handle.opt.geomgroup.all()
    model.body_pos[1] = data.qpos[:3] = 1, 2, 3  # as when a world is laid out anew
    mujoco.mj_forward(model, data)
    window.show(data)
    window.close()
    assert seen["model"] is not model and seen["data"] is not data and (seen["synced"], seen["closed"]) == (1, 1)
    for name in ("xpos", "xmat", "geom_xpos", "geom_xmat", "cam_xpos", "light_xpos"):
        assert (getattr(seen["data"], name) == getattr(data, name)).all(), name
    assert seen["data"].xpos[1].tolist() == [1, 2, 3]
