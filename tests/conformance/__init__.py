"""Runs the public suite ceph/s3-tests from a checkout and compares with the list of tests expected to pass.

Only names of tests are ours to keep; none of the suite's code lives here.
"""
