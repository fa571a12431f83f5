"""Tests of s3compat: pure, no sockets, no clock."""
