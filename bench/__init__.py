"""Throughput of `cairn serve` on this machine, as ratios to yardsticks measured in the same run. See README.md."""
