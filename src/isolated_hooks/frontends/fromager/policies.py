"""The policy of one build of fromager's: our policy for its package, combined with fromager's own settings.

``FROMAGER_SCRUB_ENV_VARS``, which fromager's authors propose, names variables that no build may see. fromager 0.92 and
newer accept ``keep_env`` and ``delete_env`` in the settings file under ``external_commands``. Its releases up to 0.101
read and check these two, but do not apply them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...errors import PolicyError
from ...files.spelling import absolute
from ...plan.environtables import ALWAYS_KEEP
from ...policy import Policy, load_policy
from ...sandbox.environ import matches
from ...text import visible

__all__ = ["SCRUB", "SWITCH", "Policies", "policy_of_build", "policy_of_query", "requested", "scrubbing"]

#: Turns the sandbox on in an unmodified fromager: ``1``, or the absolute path of a policy file.
SWITCH = "ISOLATED_HOOKS_FROMAGER"
#: Holds the names of variables, separated by commas.
SCRUB = "FROMAGER_SCRUB_ENV_VARS"

#: A function that returns the policy for a package, given its name.
Policies = Callable[[str], Policy]


def requested(environ: Mapping[str, str]) -> Policies | None:
    """Return the policies that :data:`SWITCH` selects, or ``None`` if it is unset, empty or ``0``.

    :raises PolicyError: its value is not ``0``, ``1`` or the absolute path of a valid policy file
    """
    value = environ.get(SWITCH, "")
    if value in ("", "0"):
        return None
    if value == "1":
        return lambda _: Policy()
    if not os.path.isabs(value):
        raise PolicyError(
            f"{SWITCH}: not a valid value (expected 0, 1 or the absolute path of a policy file, got "
            f"{visible(value, limit=200)!r})"
        )
    return load_policy(value).for_package


def scrubbing(policy: Policy, environ: Mapping[str, str]) -> Policy:
    """Return the policy, which then also removes the variables in :data:`SCRUB` from the environment.

    :raises PolicyError: :data:`SCRUB` holds a word that is not the name of a variable
    """
    names = [name.strip() for name in environ.get(SCRUB, "").split(",") if name.strip()]
    try:
        return dataclasses.replace(policy, env_remove=(*policy.env_remove, *names))
    except PolicyError as error:
        raise PolicyError(f"{SCRUB}: expected names of variables, separated by commas: {error}") from error


def policy_of_build(
    policy: Policy, ctx: Any, *, injected: Iterable[str], build_dir: str, sdist_root_dir: str
) -> Policy:
    """Return the policy for the hooks of one build.

    :param policy: the policy of the package
    :param ctx: fromager's ``WorkContext``
    :param injected: the names of variables that fromager itself sets, from the package's settings for instance
    :param build_dir: the directory in which the hooks run
    :param sdist_root_dir: the whole source tree, of which ``build_dir`` may be a part
    """
    filters = ctx.settings.external_commands
    keep = (*policy.env_keep, *filters.keep_env, *injected)
    if filters.delete_env:
        keep = (*keep, *_always_kept(filters.DEFAULT_KEEP_ENV))
    tree: dict[str, Any] = {}
    if os.path.realpath(build_dir) != os.path.realpath(sdist_root_dir):
        key = "writable" if policy.source == "read-write" else "expose"
        tree = {key: (*getattr(policy, key), absolute(sdist_root_dir))}
        git = os.path.join(absolute(sdist_root_dir), ".git")
        if key == "writable" and os.path.isdir(git) and not os.path.islink(git):
            # Read-only, as in every source tree, because the user's next git command obeys the files in it.
            tree["expose"] = (*policy.expose, git)
    return dataclasses.replace(
        # Only if both allow it: the sandbox isolates the network in fromager's place, see frontend.py.
        policy.without_network() if ctx.network_isolation else policy,
        env_keep=keep,
        env_delete=(*policy.env_delete, *filters.delete_env),
        **tree,
    )


def policy_of_query(policy: Policy) -> Policy:
    """Return the policy for a query to a build environment, which only has to read files."""
    return dataclasses.replace(
        policy.without_network(), source="read-only", writable=(), env_keep=(), env_delete=("*",)
    )


def _always_kept(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the ambient variables that both fromager and this package keep, even if ``delete_env`` matches them.

    That leaves out HOSTNAME and SHELL, and names with LC_ that are not locale categories, from fromager's own list.
    """
    encoded = [os.fsencode(pattern) for pattern in patterns]
    return tuple(name for name in (*ALWAYS_KEEP, "PATH") if matches(os.fsencode(name), encoded))
