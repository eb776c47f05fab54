"""The targets of the attacks on this host: canaries that the selftest plants and removes again."""
