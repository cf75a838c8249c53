"""Where the things of a world lie at the start of an episode: rejection sampling of a batch, in arrays.

The law is that of safety-gymnasium 1.0.0 (utils/random_generator.py: build_layout and sample_goal_position). Column by
column, the robot's first, a place is drawn evenly from the column's rectangle, made smaller by its keepout on every
side, until |place − placed| ≥ keepout + keepout of placed holds for all that lie already; after 100 refused places
the layout is refused, and all starts over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from pyslsac.envs.native.things import Box, Thing

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]
Bools = npt.NDArray[np.bool_]

LAYOUTS = 1, *[16] * 624, 15  # drawn at once, until one is whole; 10,000 in all: build_layout
TRIES = 100  # for each column of a layout: sample_layout
EARLY = 10  # of them are drawn for all columns at once; seldom are more needed
AGAIN_TRIES, AGAIN_BLOCKS = 40, 250  # drawn at once, and how often; 10,000 in all: build_goal_position
SLACK = 1e-9  # by which the rectangle of a thing with a given place outlasts its keepout: _placements_dict_from_object


class LayoutError(RuntimeError):
    """The things do not fit into their rectangles; the message says what to change."""


class Sampler:
    """Draws layouts of K columns; the numbers of an environment depend on its own generator and on nothing else.

    `keepouts` [K], metres; `boxes` [K]: the rectangles of each column before they shrink. From several, one is chosen
    by what is left of its area. LayoutError: nothing is left of all rectangles of a column.
    """

    def __init__(self, keepouts: Sequence[float], boxes: Sequence[Sequence[Box]]) -> None:
        self.keepouts: Floats = np.array(keepouts, np.float64)
        self.apart: Floats = self.keepouts[:, None] + self.keepouts  # [K, K]
        rooms = [_shrunk(*column) for column in zip(range(len(boxes)), keepouts, boxes, strict=True)]
        most = max(map(len, rooms))
        corners = np.array([room + room[-1:] * (most - len(room)) for room in rooms], np.float64)
        self._low: Floats = corners[..., :2]  # [K, most, 2]
        self._size: Floats = corners[..., 2:] - corners[..., :2]
        self._up_to: Floats = np.ones((len(rooms), most - 1))  # chance of the first, of the first two, ...
        for column, room in enumerate(rooms):
            area = self._size[column, : len(room)].prod(-1).cumsum()
            self._up_to[column, : len(room) - 1] = area[:-1] / area[-1]
        self._numbers = 2 if most == 1 else 3  # for one place: x, y and, among several rectangles, which

    def layouts(self, generators: Sequence[np.random.Generator]) -> Floats:
        """Places [m, K, 2] of everything in m environments. LayoutError after 10,000 refused layouts of one."""
        places = np.empty((len(generators), len(self.keepouts), 2))
        rows = np.arange(len(generators))
        for layouts in LAYOUTS:
            placed, whole = self._attempt([generators[row] for row in rows for _ in range(layouts)])
            whole = whole.reshape(-1, layouts)  # [rows, layouts]
            places[rows] = placed[np.arange(len(rows)) * layouts + whole.argmax(1)]  # of the first that is whole
            rows = rows[~whole.any(1)]
            if not rows.size:
                return places
        raise LayoutError(
            f"the world's {len(self.keepouts)} things do not fit, {sum(LAYOUTS)} layouts were refused: "
            "take fewer things, smaller keepouts or larger rectangles"
        )

    def again(self, column: int, xy: Floats, generators: Sequence[np.random.Generator]) -> tuple[Floats, Bools]:
        """A new place of one column while the others of `xy` [m, K, 2] stay: places [m, 2], found [m].

        Where none of 10,000 places is free, found is False and the place is the old one.
        """
        others = np.arange(len(self.keepouts)) != column
        placed, apart = _complex(xy[:, others]).T, self.apart[column, others]  # [K - 1, m], [K - 1]
        place, found, rows = xy[:, column].copy(), np.zeros(len(xy), np.bool_), np.arange(len(xy))
        for _ in range(AGAIN_BLOCKS):
            tries = self._tries([generators[row] for row in rows], AGAIN_TRIES, slice(column, column + 1))
            first, free = _first_free(tries[:, 0], placed[:, rows], apart)
            place[rows[free]] = _floats(first[free])
            found[rows[free]] = True
            rows = rows[~free]
            if not rows.size:
                break
        return place, found

    def _attempt(self, generators: list[np.random.Generator]) -> tuple[Floats, Bools]:
        """One layout for each generator, [p, K, 2], and which of them are whole: [p]."""
        early = self._tries(generators, EARLY, slice(None))  # [p, K, EARLY]
        placed = early[:, :, 0].T.copy()  # [K, p]
        whole = np.ones(len(generators), np.bool_)
        for column in range(1, len(placed)):
            before, apart = placed[:column], self.apart[column, :column]
            placed[column], free = _first_free(early[:, column], before, apart)
            if not free.all():
                late = np.flatnonzero(whole & ~free)
                tries = self._tries([generators[row] for row in late], TRIES - EARLY, slice(column, column + 1))
                placed[column, late], whole[late] = _first_free(tries[:, 0], before[:, late], apart)
        return _floats(placed.T), whole

    def _tries(self, generators: list[np.random.Generator], tries: int, columns: slice) -> Complexes:
        """Places to try, [p, columns, tries], for each of p environments from its own generator."""
        low, size = self._low[columns], self._size[columns]  # [columns, most, 2]
        chance = np.empty((len(generators), len(low), tries, self._numbers))
        for generator, row in zip(generators, chance, strict=True):
            generator.random(out=row)
        if self._numbers == 2:
            return _complex(low + chance * size)  # the axis of the only rectangle spreads over that of the tries
        pick = np.arange(len(low))[:, None], (chance[..., 2:] >= self._up_to[columns, None]).sum(-1)
        return _complex(low[pick] + chance[..., :2] * size[pick])


def _first_free(tries: Complexes, placed: Complexes, apart: Floats) -> tuple[Complexes, Bools]:
    """Of tries [p, T] the first at least apart [c] from placed [c, p], and whether there is one: [p], [p]."""
    free = (np.abs(placed[:, :, None] - tries) >= apart[:, None, None]).all(0)  # [p, T]
    pick = np.arange(len(free)), free.argmax(1)
    return tries[pick], free[pick]


def _shrunk(column: int, keepout: float, boxes: Sequence[Box]) -> list[Box]:
    """What is left of a column's rectangles when each loses the keepout on every side: constrain_placement."""
    inner = [(x1 + keepout, y1 + keepout, x2 - keepout, y2 - keepout) for x1, y1, x2, y2 in boxes]
    room = [(x1, y1, x2, y2) for x1, y1, x2, y2 in inner if x1 <= x2 and y1 <= y2]
    if not room or (len(room) > 1 and not any((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in room)):
        raise LayoutError(f"column {column}: keepout {keepout} leaves nothing of {list(boxes)}; take a smaller keepout")
    return room


def _complex(xy: Floats) -> Complexes:
    """x + iy, without the last axis: distances are then one subtraction and one np.abs."""
    return np.ascontiguousarray(xy).view(np.complex128)[..., 0]


def _floats(z: Complexes) -> Floats:
    return np.ascontiguousarray(z)[..., None].view(np.float64)


def columns(
    robot_keepout: float, robot_boxes: Sequence[Box] | None, things: Iterable[Thing], extent: float
) -> tuple[list[float], list[Sequence[Box]]]:
    """Keepouts and rectangles of the robot, then of the things. None or no given place: |x| ≤ extent, |y| ≤ extent."""
    world: Sequence[Box] = ((-extent, -extent, extent, extent),)
    keepouts, boxes = [robot_keepout], [world if robot_boxes is None else robot_boxes]
    for thing in things:
        half = thing.keepout + SLACK
        keepouts += [thing.keepout] * thing.count
        boxes += [((x - half, y - half, x + half, y + half),) for x, y in thing.places[: thing.count]]
        boxes += [world] * (thing.count - len(thing.places))
    return keepouts, boxes
