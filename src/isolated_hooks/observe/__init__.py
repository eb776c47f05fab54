"""What the sandbox had to do with a hook that failed: from observations to hints, each with the line to add."""

from .causes import findings_of
from .evidence import Evidence, Outside, evidence_of
from .hints import Hint, hints_of
from .rendering import rendered

__all__ = ["Evidence", "Hint", "Outside", "evidence_of", "findings_of", "hints_of", "rendered"]
