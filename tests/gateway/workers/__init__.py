"""Tests of the background workers over a real index and real nodes."""
