"""Whole clusters of real processes: killed midway, and then looked at for what is lost and what is left over."""
