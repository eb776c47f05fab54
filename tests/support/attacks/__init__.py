"""Run attacks of the suite on this host: a few of them in a directory of a test, or all of them for the page."""
