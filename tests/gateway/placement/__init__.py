"""Tests of the node table and of placement."""
