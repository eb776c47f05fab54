"""Mutants of this package: copies in which one wall is missing, and the attacks that have to notice it.

``python tests/support/mutation/lane.py [PART...]`` runs them, as ``nox -s mutation`` does. Nothing in the package can
switch a wall off: a mutant is a copy of the package with other source code, in a directory of its own.
"""
