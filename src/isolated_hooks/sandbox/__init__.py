"""The code that runs in the child, ``python -I -S``. It imports next to nothing, because each import slows every hook.

Nothing here imports the rest of isolated_hooks. The parent imports :mod:`.operations` to build a plan from the same
operations that the child executes.
"""
