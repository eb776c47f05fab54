"""What runs in the child: ``python -I -S`` with next to no imports, because each import costs every hook.

Nothing here imports the rest of isolated_hooks. The parent imports :mod:`.operations` to build a plan from the same
operations that the child executes.
"""
