"""How `cairn status` gathers, judges and prints."""
