"""Attacks on a real cluster: clients at work while processes die, and a checker of what they saw."""
