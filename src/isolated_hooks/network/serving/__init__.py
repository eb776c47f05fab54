"""The process of the proxy. It imports the standard library and itself, and starts without ``isolated_hooks``."""
