"""What the sandbox had to do with a hook that failed: from observations to hints, each with the line to add."""
