"""The kinds of attack, with the promise, the protections and the origin of each."""

from __future__ import annotations

from ..frozen import dataclass
from ..protections import Promise, Protection

__all__ = ["KINDS", "Kind", "Promise"]


@dataclass(frozen=True)
class Kind:
    """A kind of attack.

    :ivar promise: the promise that it tests
    :ivar stopped_by: the protections, each of which should stop it
    :ivar origin: reports of such attacks, or projects that defend against them
    """

    promise: Promise
    stopped_by: tuple[Protection, ...]
    origin: str


_FILES = (Protection.FILESYSTEM,)
_TEMPORARY = (Protection.TEMPORARY,)
_PROCESSES = (Protection.PROCESSES,)
_NETWORK = (Protection.NETWORK,)
_IPC = (Protection.IPC,)
_SYSCALLS = (Protection.SYSCALLS,)
_PRIVILEGES = (Protection.PRIVILEGES,)
_DESCRIPTORS = (Protection.DESCRIPTORS,)
_NAMESPACES = (Protection.PRIVILEGES, Protection.SYSCALLS)
_KERNEL_FILES = (Protection.FILESYSTEM, Protection.IDENTITY)
_READ, _WRITE, _REACH = Promise.SEES, Promise.WRITES, Promise.REACHES

#: The kinds by id, with which the names of attacks begin: a letter for the family, and a number.
KINDS = {
    "A01": Kind(_READ, _FILES, "fromager #1019; build-attack-test: netrc"),
    "A02": Kind(_READ, _FILES, "build-attack-test: pip_config; TeamPCP and litellm, 2026"),
    "A03": Kind(_READ, _FILES, "nono: deny_credentials; litellm 1.82.8"),
    "A04": Kind(_READ, _FILES, "torchtriton, 2022; firejail: disable-common"),
    "A05": Kind(_READ, _FILES, "nono; firejail: disable-common"),
    "A07": Kind(_READ, _FILES, "nono: deny_credentials"),
    "A08": Kind(_READ, _FILES, "cackle"),
    "A09": Kind(_READ, _TEMPORARY, "litellm 1.82.8; Shai-Hulud, 2025"),
    "A10": Kind(Promise.PRIVILEGES, (Protection.KEYRING,), "minijail -w; systemd KeyringMode; flatpak"),
    "A11": Kind(Promise.PROCESSES, _PROCESSES, "build-attack-test: processes; hidepid"),
    "A12": Kind(
        Promise.ENVIRONMENT, (Protection.ENVIRONMENT,), "build-attack-test: env_vars; fromager #1083; Shai-Hulud"
    ),
    "A13": Kind(_READ, _FILES, "nono: deny_shell_history"),
    "A14": Kind(_READ, _FILES, "fromager #1171"),
    "A15": Kind(_READ, _KERNEL_FILES, "bubblewrap: cannot read /etc/shadow"),
    "A18": Kind(_READ, (Protection.FILESYSTEM, Protection.PROCESSES, Protection.ENVIRONMENT), "fromager #1077"),
    "A19": Kind(_REACH, _NETWORK, "litellm 1.82.8; cloud metadata"),
    "A20": Kind(_READ, _FILES, "Shai-Hulud; nx s1ngularity"),
    "B05": Kind(Promise.ENVIRONMENT, (Protection.ENVIRONMENT,), "nono: env sanitization; CVE-2023-4911"),
    "B06": Kind(Promise.ENVIRONMENT, (Protection.ENVIRONMENT,), "CWE-426"),
    "B07": Kind(_READ, _TEMPORARY, "fromager #1077, #1171"),
    "C01": Kind(_WRITE, _FILES, "build-attack-test: pth_backdoor; litellm 1.82.8"),
    "C02": Kind(_WRITE, _FILES, "Nix: immutable inputs"),
    "C03": Kind(_WRITE, _FILES, "fromager #1019"),
    "C04": Kind(_WRITE, _FILES, "build-attack-test: shell_profile; litellm"),
    "C05": Kind(_WRITE, _FILES, "build-attack-test: cron_job"),
    "C06": Kind(_WRITE, _FILES, "build-attack-test: build_cache; ultralytics, 2024"),
    "C07": Kind(_WRITE, _FILES, "codex; srt: mandatory deny paths"),
    "C10": Kind(_WRITE, _FILES, "GitHub Actions: environment files"),
    "C11": Kind(_WRITE, _TEMPORARY, "fromager #1019; CVE-2024-38531"),
    "C14": Kind(Promise.PRIVILEGES, _NAMESPACES, "denial of cleaning up"),
    "C16": Kind(_REACH, _IPC, "bubblewrap: limitations"),
    "D01": Kind(Promise.PROCESSES, _PROCESSES, "Bazel: SetupSelfDestruction"),
    "D02": Kind(Promise.PROCESSES, (Protection.PROCESSES, Protection.SYSCALLS), "CVE-2026-46333; flatpak"),
    "D03": Kind(Promise.PROCESSES, _PROCESSES, "build-attack-test: persistent_process; bubblewrap --die-with-parent"),
    "D11": Kind(Promise.PROCESSES, _PROCESSES, "systemd RestrictRealtime"),
    "E01": Kind(_REACH, _IPC, "build-attack-test: ipc"),
    "E02": Kind(_REACH, _IPC, "ipc_namespaces(7)"),
    "E04": Kind(_REACH, _IPC, "CVE-2024-27297; CVE-2025-46416"),
    "E05": Kind(_REACH, _IPC, "srt: allowUnixSockets; Landlock ABI 9"),
    "E06": Kind(_REACH, _NETWORK, "torchtriton, 2022; Birsan, 2021"),
    "E07": Kind(_REACH, _NETWORK, "codex: sandbox_blocks_ping and others"),
    "E08": Kind(_REACH, _NETWORK, "fromager #472, #477"),
    "E09": Kind(_REACH, _NETWORK, "nsjail"),
    "E10": Kind(_REACH, (Protection.NETWORK, Protection.SYSCALLS), "codex: VmSocketRestricted; moby 57b2290"),
    "E11": Kind(_REACH, (Protection.NETWORK, Protection.SYSCALLS), "CVE-2016-8655"),
    "E14": Kind(Promise.PRIVILEGES, _DESCRIPTORS, "codex: fd_cleanup"),
    "F01": Kind(_WRITE, (Protection.IDENTITY, Protection.FILESYSTEM), "runc: read-only paths; CVE-2022-0492"),
    "F02": Kind(_WRITE, _KERNEL_FILES, "runc: masked and read-only paths"),
    "F03": Kind(_WRITE, _KERNEL_FILES, "CVE-2025-31133"),
    "F04": Kind(_WRITE, _KERNEL_FILES, "CVE-2022-0492"),
    "F05": Kind(_READ, (Protection.FILESYSTEM, Protection.SYSCALLS), "flatpak: syslog"),
    "F06": Kind(_READ, _FILES, "bubblewrap --dev; Nix"),
    "F07": Kind(_READ, _FILES, "sandlock: gpu_devices"),
    "F08": Kind(Promise.PRIVILEGES, _NAMESPACES, "bubblewrap: nodev"),
    "F09": Kind(_WRITE, _KERNEL_FILES, "binfmt_misc in user namespaces, Linux 6.7"),
    "G01": Kind(Promise.PRIVILEGES, _NAMESPACES, "fromager #1019; mount_namespaces(7): MNT_LOCKED"),
    "G02": Kind(Promise.PRIVILEGES, _NAMESPACES, "mount_namespaces(7)"),
    "G03": Kind(Promise.PRIVILEGES, _NAMESPACES, "mount_namespaces(7)"),
    "G04": Kind(Promise.PRIVILEGES, _NAMESPACES, "bubblewrap --disable-userns; CVE-2024-1086"),
    "G05": Kind(Promise.PRIVILEGES, _NAMESPACES, "firejail: unchroot"),
    "G06": Kind(_READ, _FILES, "bubblewrap: /tmp/oldroot"),
    "G07": Kind(Promise.PRIVILEGES, _NAMESPACES, "CVE-2024-21626"),
    "G09": Kind(_WRITE, _FILES, "Nix and Bazel: private propagation"),
    "G12": Kind(_READ, (Protection.PROCESSES, Protection.FILESYSTEM), "firejail: private-cwd"),
    "G13": Kind(_READ, _FILES, "CVE-2024-21626"),
    "H01": Kind(Promise.PRIVILEGES, _DESCRIPTORS, "CVE-2024-21626; CVE-2016-9962; minijail"),
    "H02": Kind(Promise.PRIVILEGES, _DESCRIPTORS, "a descriptor keeps the mount it was opened on"),
    "H04": Kind(_WRITE, _FILES, "CVE-2019-5736"),
    "H10": Kind(Promise.PRIVILEGES, (Protection.TERMINAL,), "here-documents and prompts"),
    "H11": Kind(_REACH, _IPC, "CVE-2024-27297; CVE-2025-46416"),
    "J14": Kind(Promise.PROCESSES, _PROCESSES, "nsjail: oom_score_adj"),
    "K02": Kind(Promise.PRIVILEGES, _SYSCALLS, "docker's default since 2023; codex"),
    "K03": Kind(Promise.PRIVILEGES, _SYSCALLS, "sandlock"),
    "K04": Kind(Promise.PRIVILEGES, _SYSCALLS, "flatpak"),
    "K05": Kind(Promise.PRIVILEGES, _NAMESPACES, "docker, 2014: shocker"),
    "K06": Kind(Promise.PRIVILEGES, _SYSCALLS, "flatpak; systemd RestrictAddressFamilies"),
    "K07": Kind(Promise.PRIVILEGES, _PRIVILEGES, "codex: test_no_new_privs_is_enabled"),
    "K08": Kind(Promise.PRIVILEGES, _PRIVILEGES, "bubblewrap: no caps as uid != 0"),
    "K10": Kind(Promise.PRIVILEGES, _NAMESPACES, "CVE-2021-41133; birdcage"),
    "K11": Kind(_WRITE, _FILES, "Landlock: current limitations"),
    "S01": Kind(_READ, (Protection.FILESYSTEM, Protection.TEMPORARY), "everything that can be seen"),
    "S02": Kind(Promise.PROCESSES, _PROCESSES, "everything that can be seen"),
    "S03": Kind(Promise.ENVIRONMENT, (Protection.ENVIRONMENT, Protection.DESCRIPTORS), "everything that it has"),
}
