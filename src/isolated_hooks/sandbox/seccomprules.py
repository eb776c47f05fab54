"""The rules of a hook's seccomp filter: the calls it refuses, and why.

Sources: seccomp(2), and for the width of each argument the kernel's SYSCALL_DEFINE of the call. A filter sees only
numbers: it cannot read the data behind a pointer.
"""

from __future__ import annotations

from .bpf import WORD
from .seccompterms import (
    ALLOW,
    EAFNOSUPPORT,
    EMFILE,
    ENOSYS,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
    NOTIFY,
    PRETEND,
    Row,
    Rule,
    equals,
    has_any,
    null,
)

_REFUSED: tuple[Row, ...] = (((), EPERM, ""),)
_MISSING: tuple[Row, ...] = (((), ENOSYS, ""),)

# linux/sched.h: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME. clone(2) itself takes NEWTIME
# (0x80) as part of the exit signal, but no signal has that number.
_CLONE_NEW = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x80
_PTRACE_ATTACH, _PTRACE_SEIZE = 16, 0x4206
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK, _NETLINK_ROUTE = 1, 2, 10, 16, 0
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET, _SOCK_TYPE_MASK = 1, 2, 5, 0xF
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423
_SET_ID = 0o6000
_S_IFMT, _S_IFCHR, _S_IFBLK = 0o170000, 0o020000, 0o060000
# O_TMPFILE includes O_DIRECTORY, which differs between machines and does not create anything, so we leave it out.
_O_CREAT, _O_TMPFILE_ALONE = 0o100, 0o20000000
_O_RDONLY, _O_ACCMODE, _O_TRUNC = 0, 0o3, 0o1000
_RLIMIT_CORE = 4
_AT_EMPTY_PATH = 0x1000
_PRIO_USER, _IOPRIO_WHO_USER = 2, 3
# The type of a request is its second byte, ioctl(2): of terminals (all of asm-generic/ioctls.h: pipes and descriptors
# too), and of sockets.
_TYPE, _TERMINALS, _SOCKET_REQUESTS = 0xFF00, 0x5400, 0x8900
# Requests to files that change nothing but a file that is open for writing, linux/fs.h, linux/fiemap.h, linux/random.h:
# FIGETBSZ, FS_IOC_GETFLAGS, FS_IOC_GETVERSION, FS_IOC_FSGETXATTR, FS_IOC_FIEMAP, FICLONE, FICLONERANGE, FIDEDUPERANGE,
# RNDGETENTCNT.
_HARMLESS_REQUESTS = (
    0x2, 0x80086601, 0x80087601, 0x801C581F, 0xC020660B, 0x40049409, 0x4020940D, 0xC0189436, 0x80045200
)  # fmt: skip
# The types of the requests that filesystems take, Documentation/userspace-api/ioctl/ioctl-number.rst: X and f of
# linux/fs.h (flags, fscrypt, fs-verity, ext4, xfs), v (versions), r (FAT), of btrfs, ceph, bcachefs, cifs and f2fs.
_FILESYSTEM_TYPES = (0x5800, 0x6600, 0x7600, 0x7200, 0x9400, 0x9700, 0xBC00, 0xCF00, 0xF500)
# PER_LINUX32 and ADDR_NO_RANDOMIZE. PER_LINUX is 0.
_PERSONALITY_QUERY, _PERSONALITIES = 0xFFFFFFFF, 0x8 | 0x40000


def _set_id(mode: int) -> tuple[Row, ...]:
    """Return the rows for a call that gives a file the mode in argument ``mode``, a umode_t (16 bits in the kernel)."""
    return (((has_any(mode, _SET_ID),), EPERM, "with a set-user-ID or set-group-ID bit"),)


def _set_id_if_created(flags: int) -> tuple[Row, ...]:
    """Return the rows for open(2). Without a flag that creates, the kernel ignores the mode, so it may be anything."""
    created = has_any(flags, _O_CREAT | _O_TMPFILE_ALONE)
    return (((created, has_any(flags + 1, _SET_ID)), EPERM, "if it creates with a set-user-ID or set-group-ID bit"),)


def _device(mode: int) -> tuple[Row, ...]:
    return (((equals(mode, _S_IFCHR, _S_IFBLK, mask=_S_IFMT),), EPERM, "for a device"),)


_CONNECTED_UNIX = (equals(0, _AF_UNIX), equals(1, _SOCK_STREAM, _SOCK_SEQPACKET, mask=_SOCK_TYPE_MASK))
_UNCONNECTED_UNIX: Row = ((equals(0, _AF_UNIX),), EPERM, "for a unix socket that can send without being connected")
_SOCKETS: tuple[Row, ...] = (
    (_CONNECTED_UNIX, ALLOW, ""),
    # Neither this filter nor pid 1 can see the address of sendmsg(2) before the kernel uses it.
    _UNCONNECTED_UNIX,
    # The kernel turns AF_INET with SOCK_PACKET (10) into AF_PACKET, so we list the types we allow.
    ((equals(0, _AF_INET, _AF_INET6), equals(1, _SOCK_STREAM, _SOCK_DGRAM, mask=_SOCK_TYPE_MASK)), ALLOW, ""),
    ((equals(0, _AF_INET, _AF_INET6),), EPERM, "for an internet socket that is neither stream nor datagram"),
    ((equals(0, _AF_NETLINK), equals(2, _NETLINK_ROUTE)), ALLOW, ""),
    ((), EAFNOSUPPORT, "for any family except unix, internet and NETLINK_ROUTE"),
)
_OTHER_PROCESS = "without a PID namespace it would reach the caller's processes"
_SET_ID_REASON = "such a file lends its owner's rights to everyone who runs it, even after the build"

# Wide arguments: for int, unsigned int or umode_t the kernel itself drops the upper half, so we compare only the lower
# half (CVE-2019-10063 came from comparing all 64 bits of an ioctl request). clone's flags are an unsigned long, of
# which the kernel uses lower_32_bits(). ptrace's request is a long that the kernel compares as a whole. With a nonzero
# upper half it is an unknown request, so refusing by the lower half refuses nothing that could work. A pointer, which
# the kernel compares to 64 bits of zero, we compare in the same way.
#
# Calls that we allow on purpose: seccomp and landlock_* (a build may confine itself further, never less); mbind and
# set_mempolicy (they affect the calling process's own memory); ptrace in a PID namespace (LeakSanitizer and debuggers
# attach to processes of the build; pid 1 is not dumpable, and a tracer cannot make a call that the tracee's filter
# refuses: seccomp(2), since Linux 4.8); TIOCSCTTY (a program needs it for its own
# pseudo-terminals, and taking over a terminal that has a session needs CAP_SYS_ADMIN); mkdir (the kernel ignores set-id
# bits there).
RULES: tuple[Rule, ...] = (
    (
        "io_uring_setup io_uring_enter io_uring_register",
        _REFUSED,
        "operations through a ring bypass this filter",
    ),
    ("bpf perf_event_open userfaultfd", _REFUSED, "a large part of the kernel, often exploited, that no build needs"),
    ("keyctl add_key request_key", _REFUSED, "a keyring is in no namespace and may hold the caller's secrets"),
    (
        "mount umount2 pivot_root chroot open_tree open_tree_attr move_mount mount_setattr fsopen fsconfig fsmount"
        " fspick",
        _REFUSED,
        "the hook's view of the filesystem is fixed before it starts",
    ),
    ("unshare setns", _REFUSED, "in a new user namespace the hook would have every capability again"),
    ("clone", (((has_any(0, _CLONE_NEW),), EPERM, "with a flag for a new namespace"),), "as unshare"),
    ("clone3", _MISSING, "its flags lie behind a pointer; callers fall back to clone"),
    ("openat2", _MISSING, "its mode lies behind a pointer; callers fall back to openat"),
    ("open_by_handle_at name_to_handle_at", _REFUSED, "a file handle leads out of the hook's view of the filesystem"),
    ("migrate_pages move_pages", (((has_any(0, WORD),), EPERM, "for a process given by number"),), _OTHER_PROCESS),
    (
        "prlimit64",
        (
            (null(2), ALLOW, ""),
            ((has_any(0, WORD),), EPERM, "for setting a limit of a process given by number"),
            ((equals(1, _RLIMIT_CORE), *null(3)), PRETEND, "for setting RLIMIT_CORE"),
            # A filter cannot fill in the old limit, and success would claim that the call had done so.
            ((equals(1, _RLIMIT_CORE),), EPERM, "for setting RLIMIT_CORE and asking for the old one at once"),
        ),
        f"{_OTHER_PROCESS}; and RLIMIT_CORE is 1, which keeps a crash from starting the host's handler, core(5)",
    ),
    ("setrlimit", (((equals(0, _RLIMIT_CORE),), PRETEND, "for RLIMIT_CORE"),), "as prlimit64"),
    (
        "quotactl quotactl_fd swapon swapoff reboot kexec_load kexec_file_load init_module finit_module delete_module"
        " acct syslog vhangup iopl ioperm fanotify_init lookup_dcookie nfsservctl uselib",
        _REFUSED,
        "it administers the host, or is long obsolete",
    ),
    (
        "settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname",
        _REFUSED,
        "the clock and the names belong to the host",
    ),
    (
        "lsm_set_self_attr",
        _REFUSED,
        "the hook's security context is the operator's choice; the files in /proc that change it are read-only too",
    ),
    # Only 16-bit code and Wine's 32-bit code need it, and this filter refuses 32-bit system calls anyway.
    ("modify_ldt", _REFUSED, "a large part of the kernel, often exploited, that no build needs"),
    # Callers expect ENOSYS: an administrator can switch the call off, and before Linux 6.5 it was off by default.
    ("memfd_secret", _MISSING, "even the kernel cannot read such memory, and it keeps the host from hibernating"),
    (
        "personality",
        (
            ((equals(0, _PERSONALITY_QUERY),), ALLOW, ""),
            ((has_any(0, WORD & ~_PERSONALITIES),), EPERM, "except for PER_LINUX, PER_LINUX32 and ADDR_NO_RANDOMIZE"),
        ),
        "the others switch hardening off or old code on",
    ),
    (
        "socket",
        _SOCKETS,
        "a network namespace does not contain vsock and others, and each family exposes more of the kernel",
    ),
    (
        "socketpair",
        ((_CONNECTED_UNIX, ALLOW, ""), _UNCONNECTED_UNIX, ((), EAFNOSUPPORT, "for any family except unix")),
        "as socket; every socket with a path, and every abstract name of a network that is not its own, is the host's",
    ),
    (
        "ioctl",
        (((equals(1, _TIOCSTI, _TIOCLINUX, _TIOCSETD),), EPERM, "for TIOCSTI, TIOCLINUX and TIOCSETD"),),
        "they type into a terminal shared with the caller, or load a line discipline into the kernel",
    ),
    # A program that copies a file together with such a bit (cp -p, tar -p, install) gets EPERM too.
    ("creat", _set_id(1), _SET_ID_REASON),
    ("open", _set_id_if_created(1), _SET_ID_REASON),
    ("openat", _set_id_if_created(2), _SET_ID_REASON),
    ("mknod", _set_id(1) + _device(1), f"{_SET_ID_REASON}; a device leads out of the hook's view of the filesystem"),
    ("mknodat", _set_id(2) + _device(2), f"{_SET_ID_REASON}; a device leads out of the hook's view of the filesystem"),
)

# A filter cannot tell a directory from a file, so either pid 1 looks, modes.py, or no directory gets such a bit.
_CHANGED_MODES: tuple[Rule, ...] = tuple(
    (names, (((has_any(mode, _SET_ID),), NOTIFY, "with a set-ID bit, if it is for a directory"),), _SET_ID_REASON)
    for names, mode in (("chmod fchmod", 1), ("fchmodat fchmodat2", 2))
)
_REFUSED_MODES: tuple[Rule, ...] = (
    ("chmod fchmod", _set_id(1), _SET_ID_REASON),
    ("fchmodat fchmodat2", _set_id(2), _SET_ID_REASON),
)
# For the hook and not for pid 1, which connects and binds for it, broker.py.
_OTHERS_MEMORY: Rule = (
    "process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp",
    _REFUSED,
    "it reaches memory or descriptors of another process",
)
OF_HOOK: tuple[Rule, ...] = (
    _OTHERS_MEMORY,
    ("connect bind", (((), NOTIFY, "if it leads to a socket of this sandbox"),), "a filter cannot read an address"),
    *_CHANGED_MODES,
    (
        "rename renameat renameat2 link linkat",
        (((), NOTIFY, "if it leads from one mount to another, and the kernel otherwise"),),
        "the tree, the outputs and the temporary files are mounts of their own, between which the kernel moves nothing",
    ),
)
# Besides, for a hook that somebody asked to observe: pid 1 looks, observing.py, and the kernel goes on with the call.
# A call that another rule refuses stays refused: the kernel takes the strictest answer of all filters, seccomp(2).
_LOOKED_AT: tuple[Row, ...] = (((), NOTIFY, "which looks on"),)
_OF_AN_OPEN_FILE = "it asks about an open file, as fstat(2)"
OBSERVED: tuple[Rule, ...] = (
    (
        "open openat creat stat lstat access faccessat faccessat2 readlink readlinkat execve execveat mkdir mkdirat"
        " sendto sendmsg sendmmsg",
        _LOOKED_AT,
        "observed",
    ),
    ("newfstatat", (((has_any(3, _AT_EMPTY_PATH),), ALLOW, ""), *_LOOKED_AT), _OF_AN_OPEN_FILE),
    ("statx", (((has_any(2, _AT_EMPTY_PATH),), ALLOW, ""), *_LOOKED_AT), _OF_AN_OPEN_FILE),
)
# Where the host keeps pid 1 from doing so.
OF_HOOK_ALONE: tuple[Rule, ...] = (
    _OTHERS_MEMORY,
    (
        "socket",
        (((equals(0, _AF_UNIX),), EPERM, "for a unix socket outside a pair"),),
        "a filter cannot read the address of connect(2)",
    ),
    *_REFUSED_MODES,
)


def _truncating(flags: int) -> tuple[Row, ...]:
    """Return the rows for open(2). With O_TRUNC, even opening a file just for reading empties it."""
    reading = equals(flags, _O_RDONLY, mask=_O_ACCMODE)
    return (((reading, has_any(flags, _O_TRUNC)), EPERM, "if it empties a file that it opens for reading"),)


_TYPING = (equals(1, _TIOCSTI, _TIOCLINUX, _TIOCSETD),)
_REQUESTS_REASON = (
    "Landlock confines requests to devices alone: where the hook may only read, its owner could change a file's flags"
)
_REQUESTS: tuple[Row, ...] = (
    (_TYPING, EPERM, "for TIOCSTI, TIOCLINUX and TIOCSETD"),
    ((equals(1, *_HARMLESS_REQUESTS),), ALLOW, ""),
)
# If the policy exposes a device, its requests may have any other type.
REQUESTS: Rule = (
    "ioctl",
    (
        *_REQUESTS,
        ((equals(1, _TERMINALS, _SOCKET_REQUESTS, mask=_TYPE),), ALLOW, ""),
        ((), ENOTTY, "for any request that is not for terminals, sockets or pipes, and may change a file"),
    ),
    _REQUESTS_REASON,
)
REQUESTS_OF_DEVICES: Rule = (
    "ioctl",
    (*_REQUESTS, ((equals(1, *_FILESYSTEM_TYPES, mask=_TYPE),), ENOTTY, "for a request that may change a file")),
    _REQUESTS_REASON,
)
_OF_ANOTHER: tuple[Row, ...] = (((has_any(0, WORD),), EPERM, "for a process given by number"),)


def _priority(of_user: int) -> tuple[Row, ...]:
    """Return the rows for a call whose first argument says what kind of number the second one is."""
    return (
        ((equals(0, of_user),), EPERM, "for all processes of a user"),
        ((has_any(1, WORD),), EPERM, "for a process given by number"),
    )


# For hosts without user namespaces: these calls reach parts of the host that namespaces would hide.
WITHOUT_NAMESPACES: tuple[Rule, ...] = (
    (
        "shmget shmat shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl",
        _REFUSED,
        "it would reach the host's IPC",
    ),
    ("mq_open mq_unlink", _REFUSED, "it would reach the host's POSIX message queues"),
    (
        "ptrace",
        (((equals(0, _PTRACE_ATTACH, _PTRACE_SEIZE),), EPERM, "for attaching to a process that did not ask for it"),),
        _OTHER_PROCESS,
    ),
    # The same error as on a filesystem without extended attributes, which cp, tar and install expect.
    (
        "setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat"
        " getxattr lgetxattr getxattrat listxattr llistxattr listxattrat",
        (((), EOPNOTSUPP, ""),),
        "Landlock does not confine extended attributes: the mode of the file alone decides who may use them",
    ),
    (
        "file_getattr file_setattr",
        (((), EOPNOTSUPP, ""),),
        "Landlock does not confine the flags of a file: its owner alone decides, by any path",
    ),
    (
        "inotify_init inotify_init1",
        _MISSING,
        "Landlock does not confine it: it tells the names in directories that the hook may not list",
    ),
    ("setpriority", _priority(_PRIO_USER), _OTHER_PROCESS),
    ("ioprio_set", _priority(_IOPRIO_WHO_USER), _OTHER_PROCESS),
    ("sched_setaffinity sched_setattr sched_setparam sched_setscheduler", _OF_ANOTHER, _OTHER_PROCESS),
)
# Landlock confines truncate(2) only since ABI 3. ftruncate(2) needs a file that is open for writing, and every ABI
# confines that.
WITHOUT_TRUNCATION: tuple[Rule, ...] = (
    ("truncate", _REFUSED, "this kernel's Landlock does not confine it"),
    ("open", _set_id_if_created(1) + _truncating(1), f"{_SET_ID_REASON}; as truncate"),
    ("openat", _set_id_if_created(2) + _truncating(2), f"{_SET_ID_REASON}; as truncate"),
)
# Any process that sees the path of a unix socket can connect to it, and Landlock does not confine that before ABI 9. So
# we refuse connect(2). The address of sendmsg(2) lies behind a pointer, so we refuse datagram sockets too.
_PAIRS = next(rule for rule in RULES if rule[0] == "socketpair")
WITHOUT_NETWORK: tuple[Rule, ...] = (
    ("socket", _PAIRS[1], "as socketpair"),
    ("connect", _REFUSED, "as socketpair; a pair of sockets needs none"),
    ("listen", _REFUSED, "as connect: only a process outside could connect to it"),
    # Also one socket of a pair can be bound. Landlock's scope is about connecting to abstract names, not taking them.
    ("bind", _REFUSED, "it would take an abstract name of the host, or leave a socket file in the tree"),
    ("sendto", ((null(4), ALLOW, ""), ((), EPERM, "with an address")), "as connect"),
)
# If the policy allows the caller's network, we cannot refuse connect(2). So we allow a unix socket only as one of a
# pair, whose connection cannot be changed.
WITH_NETWORK: tuple[Rule, ...] = (
    (
        "socket",
        (((equals(0, _AF_UNIX),), EPERM, "for a unix socket outside a pair"), *_SOCKETS[1:]),
        "as socketpair; and each family exposes more of the kernel",
    ),
)

# The instances of inotify(7) count for the user, 128 by default, so a hook could take all of the caller's. Programs
# expect this error, and poll instead.
WITHOUT_WATCHES: tuple[Rule, ...] = (
    ("inotify_init inotify_init1", (((), EMFILE, ""),), "the caller's instances of inotify(7) are the caller's"),
)


def shared_rules(*, watches: bool = True) -> tuple[Rule, ...]:
    """Return the rules for pid 1 and the hook where there are namespaces. The hook gets :data:`OF_HOOK` besides.

    :param watches: the hook cannot take all of the caller's instances of inotify(7), so the filter allows them
    """
    return RULES if watches else (*RULES, *WITHOUT_WATCHES)


def rules(
    *,
    namespaces: bool = True,
    network: bool = False,
    truncation: bool = True,
    devices: bool = False,
    watches: bool = True,
) -> tuple[Rule, ...]:
    """Return the rules that apply.

    :param namespaces: the hook has its own namespaces; without them the filter refuses more
    :param network: allow internet sockets even without namespaces
    :param truncation: Landlock confines truncate(2), so the filter need not; matters only without namespaces
    :param devices: the hook may open a device of the policy's, whose requests we do not know; matters only without
        namespaces
    :param watches: as for :func:`shared_rules`
    """
    if namespaces:
        return (*shared_rules(watches=watches), *OF_HOOK)
    more = (_OTHERS_MEMORY, *_REFUSED_MODES, *WITHOUT_NAMESPACES, *(WITH_NETWORK if network else WITHOUT_NETWORK))
    more += (REQUESTS_OF_DEVICES if devices else REQUESTS, *(() if truncation else WITHOUT_TRUNCATION))
    stricter = {name for names, _, _ in more for name in names.split()}
    return (*(rule for rule in RULES if rule[0] not in stricter), *more)
