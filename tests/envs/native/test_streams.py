"""Random numbers are named by seed, episode and draw."""

from __future__ import annotations

import numpy as np

from pyslsac.envs.native.streams import Streams


def test_streams_depend_on_their_names_alone() -> None:
    streams = Streams(3)
    streams.begin([0, 1, 2], [5, 5, 2**70], [0, 1, 0])
    one, two, three = (generator.random(4) for generator in streams.next([0, 1, 2]))
    again = streams.next([0])[0].random(4)
    assert len({tuple(numbers) for numbers in (one, two, three, again)}) == 4
    streams.begin([2], [5], [0])
    np.testing.assert_array_equal(streams.next([2])[0].random(4), one)
    np.testing.assert_array_equal(streams.next([2])[0].random(4), again)
