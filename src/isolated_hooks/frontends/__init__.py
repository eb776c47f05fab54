"""Frontends with their hook caller swapped, one a module."""
