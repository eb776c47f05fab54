"""Why no attack notices a mutant: the reason of each survivor, by the part and a pattern of its name."""

from __future__ import annotations

import re

__all__ = ["REASONS", "reason_of"]

_OWN = "it is the sandbox's own: without it a hook has less, and sees no more of the host"
_MODES = (
    "the hook's user owns nothing there, so modes refuse it too; the attacks write to the environment and the prefix "
    "of their own world, which the same operation mounts"
)

REASONS: tuple[tuple[str, str, str], ...] = (
    ("plan", r"(Scratch|Accounts|File|Symlink|Devpts|Proc) .* left out", _OWN),
    (
        "plan",
        r"Bind /dev/\w+ writable",
        "a device works on a read-only mount as well; only its owner could change its mode",
    ),
    ("plan", r"Bind (?!.*/(ih|isolated-hooks)-).* writable", _MODES),
    ("plan", r"Bind /tmp/isolated-hooks-mutants-\w+ writable", _MODES),  # this package, as PYTHONPATH names it
    (
        "plan",
        r"Cover .*/etc/npmrc left out",
        "the host of the attacks has no such file; found/test_view.py has one, which the same operation covers",
    ),
    (
        "plan",
        r"Bind .*/ih-\*/env/(bin|pyvenv\.cfg) writable",
        "the attacks change env/lib beside it, which the same operation mounts",
    ),
    ("plan", r"init: self\._join_keyring\(\)", "the filter refuses keyctl(2), so no hook reaches the caller's keyring"),
    (
        "plan",
        r"init: privileges\.reduce\(self\.capabilities, .*\)",
        "exec(2) of a uid other than 0 drops every capability, and no_new_privs lets none come back, capabilities(7)",
    ),
    (
        "plan",
        r"init: die_with_parent\(leash\) (self\.trial|code)",
        "it is armed twice, before the set-up and after it, and the other time keeps the promise",
    ),
    (
        "plan",
        r"init: syscalls\.prctl\(syscalls\.PR_SET_PDEATHSIG, .*",
        "the kernel ends a PID namespace with its pid 1, and without one the guard ends the hook",
    ),
    (
        "plan",
        r"privileges: syscalls\.prctl\(syscalls\.PR_CAP_AMBIENT, .* for",
        "the capset(2) that follows takes what is ambient away with what is permitted, capabilities(7)",
    ),
    (
        "plan",
        r"privileges: syscalls\.capset\(bits \| own\)",
        "pid 1 alone keeps more then; the hook drops all in drop_own, and K08-capabilities notices if it does not",
    ),
    (
        "plan",
        r"privileges: syscalls\.(capset\(bits .* _empty_bounding_set\(\)|prctl\(syscalls\.PR_SET_SECUREBITS, .*\))",
        "it only limits what exec(2) could grant, and under no_new_privs exec grants nothing",
    ),
    (
        "plan",
        r"binds: return syscalls\.MOUNT_ATTR_NOSUID \| device",
        "no_new_privs ignores set-id bits, execve(2)",
    ),
    (
        "plan",
        r"operations: .*syscalls\.mount_setattr\(fd, syscalls\.MOUNT_ATTR_RDONLY, .*self\.target\)",
        "the throw-away uid, or the ordinary user, may write no setting; it matters where root's hook keeps uid 0",
    ),
    ("plan", r"identity: os\.setgroups\(\[\]\)", "K08-groups notices it where the caller has groups besides its own"),
    (
        "plan",
        r"namespaces: \| syscalls\.CLONE_NEWUTS",
        "without it sethostname(2) is refused to us and to the hook, and the report calls the host name degraded",
    ),
    (
        "plan",
        r"namespaces: \| syscalls\.CLONE_NEWCGROUP",
        "it hides the name of the control group in /proc/self/cgroup, which is no secret; no group can be written to",
    ),
    (
        "plan",
        r'mounts: syscalls\.umount\(b"\."\)',
        "Landlock, the second wall, allows nothing beneath the old root",
    ),
    ("landlock", "EXECUTE", "execve(2) opens the file for reading too, which READ_FILE refuses"),
    ("landlock", "MAKE_(CHAR|BLOCK)", "the filter refuses mknod(2) of a device"),
    ("landlock", "IOCTL_DEV", "no rule lets a hook open another device than the harmless ones and the policy's"),
    ("landlock", "(BIND|CONNECT)_TCP", "the filter refuses every internet socket unless the policy allows the network"),
    (
        "landlock",
        "ABSTRACT_UNIX_SOCKET",
        "the filter refuses connect(2), and with the caller's network every unix socket but pairs",
    ),
    (
        "landlock",
        "SIGNAL",
        "root's throw-away uid may signal nobody outside; D01-signal notices it as an ordinary user",
    ),
    (
        "results",
        r"results/answer\.py: if len\(data\) > limit",
        "open_file refuses a larger file; this is for one that grows afterwards, and no process of the hook is left",
    ),
    (
        "results",
        r"results/archives/ziparchive\.py: if (packed|place > len\(data\))",
        "the next check refuses the same files: with unused data, or with more in the directory than its members",
    ),
    (
        "results",
        r"results/archives/ziparchive\.py: if seen != own",
        "a second wall: the checks before it refuse every file known to divide the two readers",
    ),
    (
        "results",
        r"results/outputs\.py: if not os\.access\(.*\)",
        "modes do not bind root; a test notices it as an ordinary user",
    ),
    (
        "results",
        r"results/outputs\.py: if not os\.path\.samestat\(ours, .*\)",
        "check() has compared the directories a moment before, and no process of the hook is left",
    ),
)


def reason_of(part: str, name: str) -> str:
    """Return the reason why a mutant survives, or an empty text."""
    return next((reason for of, pattern, reason in REASONS if of == part and re.fullmatch(pattern, name)), "")
