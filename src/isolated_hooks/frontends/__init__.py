"""Frontends with their hook caller swapped, one package for each frontend."""
