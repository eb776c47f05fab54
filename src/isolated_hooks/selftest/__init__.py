"""The attack suite. A hostile backend runs each attack in a real hook, and the suite judges the outcome from outside.

The tests run all attacks. ``isolated-hooks selftest`` runs those that are harmless to the user's own host. An attack
counts only if it succeeds without the sandbox.
"""
