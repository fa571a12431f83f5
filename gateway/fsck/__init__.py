"""`cairn fsck`: compares the journal, the index and what the nodes hold, and mends what it can explain."""
