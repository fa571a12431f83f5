"""The journal as a storage node keeps it: segments of entries, an epoch promised, and manifests. Knows no HTTP."""
