"""The names that statements use, of in-toto, of SLSA and our own.

The project has no domain, so its own names are URNs. Their namespace is not registered with IANA; nobody looks them up.
"""

from __future__ import annotations

__all__ = ["BUILDER", "BUILD_TYPE", "ENDING", "ENFORCEMENT", "MAX_STATEMENTS", "PROVENANCE", "STATEMENT"]

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
#: The predicate of what was enforced and denied.
ENFORCEMENT = "urn:isolated-hooks:enforcement:v1"
BUILD_TYPE = "urn:isolated-hooks:build:v1"
BUILDER = "urn:isolated-hooks:builder:v1"
#: What the name of a file with statements adds to the name of the artefact: in-toto's ending for a bundle, in which
#: each line is an attestation.
ENDING = ".intoto.jsonl"
#: The most bytes of one file with statements.
MAX_STATEMENTS = 8 << 20
