"""What one file that holds all modules of this package begins with: see :mod:`isolated_hooks.launchers.packing`.

Python finds, opens and reads each module of a package in a file of its own. This finder takes them from memory instead,
which costs a third of the time, and it does not depend on anything that lies on disk by then.
"""

import marshal
import sys
from _frozen_importlib import ModuleSpec  # importlib.machinery imports much more

# The name, the file and the marshalled code of each module. The frontend puts them here.
MODULES: "tuple[tuple[str, str, bytes], ...]" = ()
# The filters that nearly every hook gets, for seccomp.MADE: to assemble them takes some milliseconds.
FILTERS: "tuple[tuple[tuple[str, str, bool], bytes], ...]" = ()


class _Finder:
    """A finder and loader, in the sense of the import system, for the modules in memory."""

    def __init__(self) -> None:
        self.modules = {name: (file, code) for name, file, code in MODULES}

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> object:
        if name not in self.modules:
            return None
        spec = ModuleSpec(name, self, origin=self.modules[name][0], is_package=name == "sandbox")  # type: ignore[arg-type]
        spec.has_location = True  # so that the module gets a __file__
        return spec

    def create_module(self, spec: object) -> None:
        """Leave it to the import system."""

    def exec_module(self, module: "object") -> None:
        _, code = self.modules[module.__name__]  # type: ignore[attr-defined]
        exec(marshal.loads(code), module.__dict__)
        if module.__name__ == "sandbox.seccomp":  # type: ignore[attr-defined]
            module.MADE.update(FILTERS)  # type: ignore[attr-defined]


if __name__ == "__main__":
    # Each module imports it for `annotations`, and nothing looks into it.
    sys.modules["__future__"] = type(sys)("__future__")
    sys.modules["__future__"].annotations = None  # type: ignore[attr-defined]
    sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
    __import__("sandbox.start").start.run(sys.argv[1:])
