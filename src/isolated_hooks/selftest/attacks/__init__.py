"""The attacks, grouped by target."""
