"""What a hook gets of its caller besides variables: the configuration of git and cargo, and the names of its user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ..files.paths import is_within
from ..policy import Policy
from ..sandbox.operations import Accounts, File
from .cargosettings import cargo_settings, directories, render
from .environ import EnvironRules
from .gitsettings import git_notes, git_settings, git_variables
from .named import hidden_beside, hidden_paths
from .plan import Situation
from .search_path import search_path
from .toolversions import tool_versions
from .view import HOME, View

__all__ = ["CallerSettings"]

# The catalogues by which xsltproc and others find their DTDs, without the network.
_CATALOGUES = ("/etc/xml", "/etc/sgml")


class CallerSettings:
    """The caller's settings for one plan.

    :param environ: the caller's environment, with what the frontend adds to it
    :param source: the real path of the source tree
    :param in_tree: tells whether a hook may write to the directory of a path
    :ivar files: the content of files for the hook's home, by their path beneath it
    """

    def __init__(
        self,
        situation: Situation,
        policy: Policy,
        environ: Mapping[str, str],
        source: str,
        *,
        in_tree: Callable[[str], bool],
    ) -> None:
        def closed(path: str) -> bool:
            return in_tree(path) or any(is_within(path, hidden) for hidden in policy.hide)

        self._situation = situation
        self._environ = environ
        self._source = source
        filesystem, home = situation.filesystem, situation.home
        self._git = git_settings(filesystem, home, environ, source, closed=closed)
        cargo = cargo_settings(filesystem, home, environ, closed=closed)
        self.files = {
            **self._git.home,
            **({".cargo/config.toml": render(cargo)} if cargo else {}),
            **tool_versions(filesystem, home, search_path(environ.get("PATH", "")), closed=closed),
        }
        self._catalogues = [path for path in _CATALOGUES if not closed(path)]
        #: The directories with crates, to show if they are not too wide.
        self.paths = tuple(path for path in directories(cargo, home) if not closed(path))
        #: The variables that configure git.
        self.variables = git_variables(self._git.variables)
        if situation.repository.shown and situation.repository.top:
            # git looks no further where the file system changes, and the tree is a mount of its own inside.
            self.variables["GIT_DISCOVERY_ACROSS_FILESYSTEM"] = "1"

    def show(self, view: View, *, confined: bool) -> None:
        """Add the files, and the accounts by which the hook's user has the caller's names.

        :param confined: there is no mount namespace to add files in
        """
        for path in self._catalogues:
            view.show(path, reason="catalogues of XML")
        if confined:
            return
        name, group = self._situation.user
        view.add(Accounts("/etc", name, HOME, group))
        for path, content in self._git.system.items():
            view.add(File(path, content))
        for path, content in self.files.items():
            view.add(File(f"{HOME}/{path}", content))

    def notes(self, rules: EnvironRules, view: View) -> Iterator[str]:
        """Yield a sentence for each thing that the hook lacks although something names it."""
        filesystem, situation = self._situation.filesystem, self._situation
        path = search_path(self._environ.get("PATH", ""))
        yield from git_notes(filesystem, self._git, situation.home, path, shows=view.covers)
        yield from hidden_beside(filesystem, self._source, shows=view.covers)
        yield from hidden_paths(filesystem, rules, shows=view.covers)
