"""The index: what is stored under which key, in Redis; every change is one script.

Nothing here knows S3's wire protocol, HTTP or the storage nodes; errors are this package's own.
"""
