"""The policy of one build of fromager's: ours for its package, with what fromager's own settings say.

``FROMAGER_SCRUB_ENV_VARS``, proposed by fromager's authors, names variables that no build may see. ``keep_env`` and
``delete_env`` stand in fromager's settings file under ``external_commands`` (0.92 and newer); its releases up to 0.101
read and check them, and apply them to nothing yet.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...errors import PolicyError
from ...plan.environtables import ALWAYS_KEEP
from ...policy import Policy, load_policy
from ...sandbox.environ import matches
from ...text import visible

__all__ = ["SCRUB", "SWITCH", "Policies", "policy_of_build", "policy_of_query", "requested", "scrubbing"]

#: Switches the sandbox on in a fromager that nobody changed: ``1``, or the path of a policy file.
SWITCH = "ISOLATED_HOOKS_FROMAGER"
#: Names of variables, separated by commas.
SCRUB = "FROMAGER_SCRUB_ENV_VARS"

#: Gives the policy for a package, by its name.
Policies = Callable[[str], Policy]


def requested(environ: Mapping[str, str]) -> Policies | None:
    """Return the policies that :data:`SWITCH` asks for, or ``None`` where it asks for nothing.

    :raises PolicyError: it is neither ``1`` nor ``0`` nor a policy file
    """
    word = environ.get(SWITCH, "")
    if word in ("", "0"):
        return None
    if word == "1":
        return lambda _: Policy()
    if not os.path.isabs(word):
        raise PolicyError(
            f"{SWITCH}={visible(word, limit=200)}: accepted are 1, 0 and the absolute path of a policy file"
        )
    return load_policy(word).for_package


def scrubbing(policy: Policy, environ: Mapping[str, str]) -> Policy:
    """Return the policy with what :data:`SCRUB` names taken out of the environment.

    :raises PolicyError: it names something that is not the name of a variable
    """
    names = [name.strip() for name in environ.get(SCRUB, "").split(",") if name.strip()]
    try:
        return dataclasses.replace(policy, env_remove=(*policy.env_remove, *names))
    except PolicyError as error:
        raise PolicyError(f"{SCRUB}: accepted are names of variables, separated by commas: {error}") from error


def policy_of_build(
    policy: Policy, ctx: Any, *, injected: Iterable[str], build_dir: str, sdist_root_dir: str
) -> Policy:
    """Return the policy for the hooks of one build.

    :param policy: of the package
    :param ctx: fromager's ``WorkContext``
    :param injected: the variables that fromager itself sets, from the package's settings for instance
    :param build_dir: where the hooks are run
    :param sdist_root_dir: the whole source tree, where ``build_dir`` is a part of it
    """
    filters = ctx.settings.external_commands
    keep = (*policy.env_keep, *filters.keep_env, *injected)
    if filters.delete_env:
        keep = (*keep, *_always_kept(filters.DEFAULT_KEEP_ENV))
    tree: dict[str, Any] = {}
    if os.path.realpath(build_dir) != os.path.realpath(sdist_root_dir):
        key = "writable" if policy.source == "read-write" else "expose"
        tree = {key: (*getattr(policy, key), os.path.abspath(sdist_root_dir))}
        git = os.path.join(os.path.abspath(sdist_root_dir), ".git")
        if key == "writable" and os.path.isdir(git) and not os.path.islink(git):
            # As in every source tree: the next git command obeys what stands in there.
            tree["expose"] = (*policy.expose, git)
    return dataclasses.replace(
        policy,
        # Both have to allow it: fromager's isolation is ours to do, see frontend.py.
        network=policy.network and not ctx.network_isolation,
        env_keep=keep,
        env_delete=(*policy.env_delete, *filters.delete_env),
        **tree,
    )


def policy_of_query(policy: Policy) -> Policy:
    """Return the policy for asking a build environment about itself: nothing but its files to read."""
    return dataclasses.replace(policy, network=False, source="read-only", writable=(), env_keep=(), env_delete=("*",))


def _always_kept(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return what both fromager and we keep of the ambient variables, whatever ``delete_env`` says.

    Of fromager's own list that leaves out HOSTNAME and SHELL, and names beneath LC_ that are nobody's.
    """
    encoded = [os.fsencode(pattern) for pattern in patterns]
    return tuple(name for name in (*ALWAYS_KEEP, "PATH") if matches(os.fsencode(name), encoded))
