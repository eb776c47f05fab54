"""The attack suite: what a hostile backend may try, tried by a real one in a real hook, and judged from outside.

The tests run all of it; ``isolated-hooks selftest`` runs what is harmless to the user's own host. An attack counts only
where it succeeds without the sandbox.
"""
