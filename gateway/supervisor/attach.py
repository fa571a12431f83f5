"""Ties a process to its parent: `python attach.py PARENT_PID PROGRAM ARGUMENT...` becomes PROGRAM.

On Linux the kernel sends SIGKILL to PROGRAM when the parent ends, however it ends; the setting survives exec
(prctl(2), PR_SET_PDEATHSIG). Doing this between fork and exec in the parent (preexec_fn) is not safe in a
process with threads, so it is done here, after an exec of our own. Run by path with -I -S: only the standard
library is at hand, and little of it, because every start of a child waits for this.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Ask for SIGKILL at the parent's end. Raises OSError; exits if the parent is gone already."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the call above; then nobody would ever send the signal.
    if os.getppid() != parent_pid:
        sys.exit(f"process {parent_pid} is gone")


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
