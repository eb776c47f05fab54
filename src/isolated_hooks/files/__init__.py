"""Directories and files by descriptor, in trees that a hook may have written to."""
