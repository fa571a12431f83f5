"""Tests of the index: records, scripts and connection, against a real server."""
