"""Imports the modules that our code and the standard library would otherwise import in the middle of a call.

Python looks for a module in the directories of ``sys.path``, and one of them may lie in a tree that hooks write to. So
before the first hook of a process we import everything that a call, its failure, or a later call with another policy
needs. :mod:`isolated_hooks.run.run` imports our own modules; here are those of the standard library.
"""

from __future__ import annotations

import importlib

__all__ = ["PRELOADED"]

#: The modules, each with its user.
PRELOADED = {
    "email.iterators": "email.message, for its own repr and for walk()",
    "email.message": "email.feedparser",
    "encodings.ascii": "str.encode",
    "encodings.cp437": "zipfile, for names that are not UTF-8",
    "importlib.metadata": "launchers of other distributions",
    "ipaddress": "policies that name an address",
    "urllib.parse": "the password of an operator's proxy",
}

for _name in PRELOADED:
    importlib.import_module(_name)
