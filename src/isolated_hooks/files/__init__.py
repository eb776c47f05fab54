"""Access to files and directories by descriptor, in trees that a hook may have written to."""
