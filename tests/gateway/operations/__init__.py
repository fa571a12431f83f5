"""Handlers and their pure parts."""
