"""Tests of hashing, writing and reading, over a scripted client and over real nodes."""
