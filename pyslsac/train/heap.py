"""What the process holds of memory that nothing uses."""

import ctypes
from contextlib import suppress


def trim() -> None:
    """Give the free pages of the C library's heap back to the system, where that is glibc; elsewhere nothing.

    torch asks for aligned blocks, beside which glibc before 2.38 leaves holes that fit no second time. The heap of
    a long training grows by such holes; after this their pages are no longer resident.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library, none to be had, or Windows
        ctypes.CDLL(None).malloc_trim(0)
