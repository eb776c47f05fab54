"""The laboratory of container engines, what is done in each environment of it, and the table of what was found."""
