"""Wheels and sdists, read without being extracted."""
