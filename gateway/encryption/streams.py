"""Blocks of a body encrypted on their way to the nodes, and decrypted on their way to a client.

The cipher runs in the loop for small pieces and in threads for large ones: see `_INLINE_BYTES`.
"""
