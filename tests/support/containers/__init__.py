"""The laboratory of container engines, the code that runs in each of its environments, and the table of results."""
