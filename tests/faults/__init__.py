"""Real processes under a failing kernel: system calls that fail, full disks, flipped bits, clocks that are wrong."""
