"""Which nodes there are and which of them a segment goes to: the node table and the placement function."""
