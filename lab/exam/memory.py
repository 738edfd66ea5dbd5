"""Keeps the memory of this process to itself and to root: no debugger, no core dump."""

import ctypes
import sys

PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4  # linux/prctl.h


def close() -> None:
    """https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html; elsewhere than on Linux it does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def is_closed() -> bool:
    return sys.platform == "linux" and not ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
