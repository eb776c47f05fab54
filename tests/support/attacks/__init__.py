"""The attacks of the suite on this host: a place to run a few of them in, and the page with what all came to."""
