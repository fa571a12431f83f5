"""Telling targets what happened to objects: from the journal's entries to the messages that leave the cluster."""
