"""What sets a sandbox up. There is one launcher, :mod:`.native`."""
