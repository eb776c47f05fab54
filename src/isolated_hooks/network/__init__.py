"""The way to named hosts: a proxy outside of the sandbox, for one hook each. :mod:`.proxy` is the interface.

Only ``run`` starts it, and only where a policy names hosts. :mod:`.serving` runs in the process of the proxy, which
loads nothing else of this package.
"""
