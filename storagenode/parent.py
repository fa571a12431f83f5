"""Ties the process to its parent, so that a supervisor killed with SIGKILL leaves no orphan."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


class ParentGone(Exception):
    """The parent ended before this process was tied to it."""


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel send SIGTERM when the parent ends (prctl(2), PR_SET_PDEATHSIG); Linux only.

    "Parent" is the thread that started this process. Raises ParentGone, OSError.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have ended before the call, in which case nobody would ever send the signal.
    if os.getppid() != parent_pid:
        raise ParentGone(f"process {parent_pid} is gone")
