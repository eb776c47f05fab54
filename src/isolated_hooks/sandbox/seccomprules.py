"""What a hook's seccomp filter refuses, call by call, and why.

Sources: seccomp(2) and the kernel's SYSCALL_DEFINE of each call for how wide its arguments are. A filter sees numbers
only: what lies behind a pointer is out of its reach.
"""

from __future__ import annotations

from .bpf import WORD, Condition

# Conditions that must hold together, the action then taken, and the words for it (none where the call is allowed).
Row = tuple[tuple[Condition, ...], int, str]
# System calls, the rows of which the first that applies decides (if none does, the call is allowed), and the reason.
Rule = tuple[str, tuple[Row, ...], str]

# Actions. The error numbers are the same on both machines (asm-generic/errno.h).
ALLOW = 0x7FFF0000
KILL = 0x80000000
_ERRNO = 0x00050000
PRETEND = _ERRNO
EPERM = _ERRNO | 1
ENOSYS = _ERRNO | 38
EOPNOTSUPP = _ERRNO | 95
EAFNOSUPPORT = _ERRNO | 97
ACTIONS = {
    KILL: "the process is killed",
    PRETEND: "success without effect",
    EPERM: "EPERM",
    ENOSYS: "ENOSYS",
    EOPNOTSUPP: "EOPNOTSUPP",
    EAFNOSUPPORT: "EAFNOSUPPORT",
}

# struct seccomp_data, linux/seccomp.h: where the six arguments of 64 bits start. Both machines are little-endian.
_ARGUMENTS = 16


def _is(argument: int, *values: int, mask: int = WORD) -> Condition:
    return _ARGUMENTS + 8 * argument, mask, values


def _bits(argument: int, bits: int) -> Condition:
    return _ARGUMENTS + 8 * argument, bits, ()


def _null(argument: int) -> tuple[Condition, Condition]:
    """A pointer has 64 bits: it is null if both halves are."""
    offset = _ARGUMENTS + 8 * argument
    return (offset, WORD, (0,)), (offset + 4, WORD, (0,))


_REFUSED: tuple[Row, ...] = (((), EPERM, ""),)
_MISSING: tuple[Row, ...] = (((), ENOSYS, ""),)

# linux/sched.h: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. NEWTIME (0x80) is part of the exit signal
# for clone(2) itself, and no signal has that number.
_CLONE_NEW = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x80
_PTRACE_ATTACH, _PTRACE_SEIZE = 16, 0x4206
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK, _NETLINK_ROUTE = 1, 2, 10, 16, 0
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET, _SOCK_TYPE_MASK = 1, 2, 5, 0xF
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423
_SET_ID = 0o6000
_S_IFMT, _S_IFCHR, _S_IFBLK = 0o170000, 0o020000, 0o060000
# O_TMPFILE has O_DIRECTORY in it, which differs between machines and says nothing about creating.
_O_CREAT, _O_TMPFILE_ALONE = 0o100, 0o20000000
_O_RDONLY, _O_ACCMODE, _O_TRUNC = 0, 0o3, 0o1000
_RLIMIT_CORE = 4
# PER_LINUX is 0; PER_LINUX32, ADDR_NO_RANDOMIZE.
_PERSONALITY_QUERY, _PERSONALITIES = 0xFFFFFFFF, 0x8 | 0x40000


def _set_id(mode: int) -> tuple[Row, ...]:
    """The rows for a call whose argument ``mode`` is the umode_t (16 bits in the kernel) that a file gets."""
    return (((_bits(mode, _SET_ID),), EPERM, "with a set-user-ID or set-group-ID bit"),)


def _set_id_if_created(flags: int) -> tuple[Row, ...]:
    """The rows for open(2): without a creating flag the kernel does not look at the mode, which may be anything."""
    created = _bits(flags, _O_CREAT | _O_TMPFILE_ALONE)
    return (((created, _bits(flags + 1, _SET_ID)), EPERM, "if it creates with a set-user-ID or set-group-ID bit"),)


def _device(mode: int) -> tuple[Row, ...]:
    return (((_is(mode, _S_IFCHR, _S_IFBLK, mask=_S_IFMT),), EPERM, "for a device"),)


_SOCKETS: tuple[Row, ...] = (
    ((_is(0, _AF_UNIX),), ALLOW, ""),
    # AF_INET with SOCK_PACKET (10) is turned into AF_PACKET by the kernel: so types are listed, not excluded.
    ((_is(0, _AF_INET, _AF_INET6), _is(1, _SOCK_STREAM, _SOCK_DGRAM, mask=_SOCK_TYPE_MASK)), ALLOW, ""),
    ((_is(0, _AF_INET, _AF_INET6),), EPERM, "for an internet socket that is neither stream nor datagram"),
    ((_is(0, _AF_NETLINK), _is(2, _NETLINK_ROUTE)), ALLOW, ""),
    ((), EAFNOSUPPORT, "for any family but unix, internet and NETLINK_ROUTE"),
)
_OTHER_PROCESS = "without a PID namespace it would reach the caller's processes"
_SET_ID_REASON = "such a file lends its owner's rights to whoever runs it, after the build too"

# Wide arguments. Where the kernel takes int, unsigned int or umode_t it drops the upper half itself, so only the lower
# one is compared (CVE-2019-10063 came from comparing all 64 bits of an ioctl request). clone's flags are an unsigned
# long of which it uses lower_32_bits(). ptrace's request is a long, compared as a whole by the kernel: with an upper
# half it is an unknown request, so refusing by the lower half refuses nothing that could work. What the kernel
# compares to 64 bits of zero (a pointer) is compared so here.
#
# Left alone on purpose: seccomp and landlock_* (a build may confine itself further, never less); mbind and
# set_mempolicy (the caller's own memory); TIOCSCTTY (own pseudo-terminals need it, and taking over a terminal that
# has a session needs CAP_SYS_ADMIN); mkdir (the kernel ignores set-id bits there).
RULES: tuple[Rule, ...] = (
    (
        "io_uring_setup io_uring_enter io_uring_register",
        _REFUSED,
        "what is done through a ring does not pass this filter",
    ),
    ("bpf perf_event_open userfaultfd", _REFUSED, "much kernel, often exploited, that no build needs"),
    ("keyctl add_key request_key", _REFUSED, "a keyring is in no namespace and may hold the caller's secrets"),
    (
        "mount umount2 pivot_root chroot open_tree open_tree_attr move_mount mount_setattr fsopen fsconfig fsmount"
        " fspick",
        _REFUSED,
        "what the hook sees is settled before it starts",
    ),
    ("unshare setns", _REFUSED, "in a new user namespace it would have every capability again"),
    ("clone", (((_bits(0, _CLONE_NEW),), EPERM, "with a flag for a new namespace"),), "as unshare"),
    ("clone3", _MISSING, "its flags lie behind a pointer; callers fall back to clone"),
    ("openat2", _MISSING, "its mode lies behind a pointer; callers fall back to openat"),
    ("open_by_handle_at name_to_handle_at", _REFUSED, "a file handle leads out of what the hook sees"),
    (
        "process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp",
        _REFUSED,
        "memory and descriptors of another process",
    ),
    (
        "ptrace",
        (((_is(0, _PTRACE_ATTACH, _PTRACE_SEIZE),), EPERM, "for attaching to a process that did not ask for it"),),
        "memory and descriptors of another process",
    ),
    ("migrate_pages move_pages", (((_bits(0, WORD),), EPERM, "for a process given by number"),), _OTHER_PROCESS),
    (
        "prlimit64",
        (
            (_null(2), ALLOW, ""),
            ((_bits(0, WORD),), EPERM, "for setting a limit of a process given by number"),
            ((_is(1, _RLIMIT_CORE), *_null(3)), PRETEND, "for setting RLIMIT_CORE"),
            # The old limit cannot be filled in from here, and success would say that it was.
            ((_is(1, _RLIMIT_CORE),), EPERM, "for setting RLIMIT_CORE and asking for the old one at once"),
        ),
        f"{_OTHER_PROCESS}; and RLIMIT_CORE is 1, which keeps a crash from starting the host's handler, core(5)",
    ),
    ("setrlimit", (((_is(0, _RLIMIT_CORE),), PRETEND, "for RLIMIT_CORE"),), "as prlimit64"),
    (
        "quotactl quotactl_fd swapon swapoff reboot kexec_load kexec_file_load init_module finit_module delete_module"
        " acct syslog vhangup iopl ioperm fanotify_init lookup_dcookie nfsservctl uselib",
        _REFUSED,
        "administration of the host, or long obsolete",
    ),
    (
        "settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname",
        _REFUSED,
        "clock and names of the host",
    ),
    # Only 16-bit code and Wine's 32-bit code need it, and 32-bit system calls are refused here anyway.
    ("modify_ldt", _REFUSED, "much kernel, often exploited, that no build needs"),
    # Callers know ENOSYS: the call can be switched off, and before Linux 6.5 it was by default.
    ("memfd_secret", _MISSING, "memory that the kernel itself cannot see and that keeps the host from hibernating"),
    (
        "personality",
        (
            ((_is(0, _PERSONALITY_QUERY),), ALLOW, ""),
            ((_bits(0, WORD & ~_PERSONALITIES),), EPERM, "but for PER_LINUX, PER_LINUX32 and ADDR_NO_RANDOMIZE"),
        ),
        "other ones switch hardening off or old code on",
    ),
    (
        "socket",
        _SOCKETS,
        "vsock and others are in no network namespace, and each family is more kernel to attack",
    ),
    (
        "socketpair",
        (((_is(0, _AF_UNIX),), ALLOW, ""), ((), EAFNOSUPPORT, "for any family but unix")),
        "as socket",
    ),
    (
        "ioctl",
        (((_is(1, _TIOCSTI, _TIOCLINUX, _TIOCSETD),), EPERM, "for TIOCSTI, TIOCLINUX and TIOCSETD"),),
        "they type into a terminal shared with the caller, or load a line discipline into the kernel",
    ),
    # What copies a file together with such a bit (cp -p, tar -p, install) gets EPERM too; directories likewise, as
    # the filter cannot tell one from the other.
    ("chmod fchmod creat", _set_id(1), _SET_ID_REASON),
    ("fchmodat fchmodat2", _set_id(2), _SET_ID_REASON),
    ("open", _set_id_if_created(1), _SET_ID_REASON),
    ("openat", _set_id_if_created(2), _SET_ID_REASON),
    ("mknod", _set_id(1) + _device(1), f"{_SET_ID_REASON}; a device leads out of what the hook sees"),
    ("mknodat", _set_id(2) + _device(2), f"{_SET_ID_REASON}; a device leads out of what the hook sees"),
)


def _truncating(flags: int) -> tuple[Row, ...]:
    """The rows for open(2): to empty a file, what is opened for reading alone needs no more than to be opened."""
    reading = _is(flags, _O_RDONLY, mask=_O_ACCMODE)
    return (((reading, _bits(flags, _O_TRUNC)), EPERM, "if it empties what it opens for reading"),)


# What namespaces would keep from the host, for where there are none.
WITHOUT_NAMESPACES: tuple[Rule, ...] = (
    ("shmget shmat shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl", _REFUSED, "IPC of the host"),
    ("mq_open mq_unlink", _REFUSED, "POSIX message queues of the host"),
    # As on a filesystem that has none, which is what cp, tar and install expect.
    (
        "setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat",
        (((), EOPNOTSUPP, ""),),
        "Landlock does not confine extended attributes, and who may write to a file by its mode may set them",
    ),
)
# Landlock confines the size of files since ABI 3. What is opened for writing, as ftruncate(2) needs it, is confined.
WITHOUT_TRUNCATION: tuple[Rule, ...] = (
    ("truncate", _REFUSED, "this kernel's Landlock does not confine it"),
    ("open", _set_id_if_created(1) + _truncating(1), f"{_SET_ID_REASON}; as truncate"),
    ("openat", _set_id_if_created(2) + _truncating(2), f"{_SET_ID_REASON}; as truncate"),
)
# A unix socket with a path is reached by whoever sees the path, and Landlock does not confine that before ABI 9: so
# none can be connected. The address of sendmsg(2) lies behind a pointer, hence no datagram sockets.
_PAIRS: Rule = (
    "socketpair",
    (
        ((_is(0, _AF_UNIX), _is(1, _SOCK_STREAM, _SOCK_SEQPACKET, mask=_SOCK_TYPE_MASK)), ALLOW, ""),
        ((_is(0, _AF_UNIX),), EPERM, "for a unix socket that can send without being connected"),
        ((), EAFNOSUPPORT, "for any family but unix"),
    ),
    "the network, and every socket that has a path, is the host's",
)
WITHOUT_NETWORK: tuple[Rule, ...] = (
    _PAIRS,
    ("socket", _PAIRS[1], "as socketpair"),
    ("connect", _REFUSED, "as socketpair; a pair of sockets needs none"),
    ("sendto", ((_null(4), ALLOW, ""), ((), EPERM, "with an address")), "as connect"),
)
# Where the policy gives the caller's network, connect(2) cannot be refused: then a unix socket is one of a pair, which
# is connected for good.
WITH_NETWORK: tuple[Rule, ...] = (
    _PAIRS,
    (
        "socket",
        (((_is(0, _AF_UNIX),), EPERM, "for a unix socket that is not one of a pair"), *_SOCKETS[1:]),
        "as socketpair; and each family is more kernel to attack",
    ),
)


def rules(*, namespaces: bool = True, network: bool = False, truncation: bool = True) -> tuple[Rule, ...]:
    """The rules that apply.

    :param namespaces: the hook is in namespaces of its own; without them more is refused
    :param network: without them, internet sockets are allowed all the same
    :param truncation: without them, Landlock confines truncate(2)
    """
    if namespaces:
        return RULES
    more = (*WITHOUT_NAMESPACES, *(WITH_NETWORK if network else WITHOUT_NETWORK))
    more += () if truncation else WITHOUT_TRUNCATION
    stricter = {name for names, _, _ in more for name in names.split()}
    return (*(rule for rule in RULES if rule[0] not in stricter), *more)
