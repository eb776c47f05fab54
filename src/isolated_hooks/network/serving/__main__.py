"""Entry point of the proxy: ``python -I -S .../network/serving/__main__.py``, with its order on stdin."""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/")[0].rpartition("/")[0])
    __import__("serving.server").server.main()
