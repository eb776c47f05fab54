"""What several tests use, and no test: worlds to build in, tables of what is tested, programs that tests start."""
