"""The byte store: one process that owns some directories and serves blobs over a small HTTP protocol."""
