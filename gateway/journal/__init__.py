"""The journal: every change of the index, durable on storage nodes, so that the index can be lost and rebuilt."""
