"""Encryption at rest: the cipher of blocks, the wrapping of data keys, the ring of KMS keys. What requests ask for is
in s3compat/encryption.py, where it is asked and answered in operations/encrypting.py.
"""
