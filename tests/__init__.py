"""Tests, one package for each package of the project, and real clients and processes beside them."""
