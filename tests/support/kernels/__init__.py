"""Kernels that are really booted: their packages, the image that they run, the machine, and the page of results."""
