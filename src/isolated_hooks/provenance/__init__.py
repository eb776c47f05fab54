"""Statements about a build: how an artefact was made, and what was enforced meanwhile. Pure: no system call."""
