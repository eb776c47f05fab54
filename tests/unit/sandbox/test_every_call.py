"""Every system call of Linux 6.18, and what stands between it and the host where a hook has no namespaces."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support.bpfinterpreter import Interpreter

from isolated_hooks.sandbox import seccomp, seccomprules
from isolated_hooks.sandbox.numbers import KNOWN, MACHINES, NEWEST

ENOSYS = 0x00050000 | 38
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}

# Landlock has a right for it; truncate since ABI 3. bind, because a unix socket is a file that it makes.
LANDLOCK = """open openat creat mkdir mkdirat mknod mknodat rmdir unlink unlinkat rename renameat renameat2 link linkat
    symlink symlinkat truncate execve execveat bind""".split()
# The report says that a hook can do it: names, sizes, modes, mounts.
NAMES = """stat lstat statx newfstatat access faccessat faccessat2 readlink readlinkat statfs ustat chdir statmount
    listmount sysfs""".split()
# The report says that a hook can do it where it is the owner, and set times to now where it may write.
METADATA = "chmod fchmodat fchmodat2 chown lchown fchown fchownat utime utimes futimesat utimensat".split()
# Landlock scopes signals since ABI 6. Before that, the report says that the caller's processes can be signalled.
SIGNALS = "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal".split()
# It tells about another process what /proc tells too, which the report says, or needs what ptrace(2) needs, which
# Landlock refuses. process_mrelease(2) takes only processes that are already ending, and sync(2) costs time.
QUERIES = """getpriority ioprio_get sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval getpgid getsid pidfd_open get_robust_list process_mrelease sysinfo uname sync""".split()
# It works on what the process has already: its memory, its descriptors, its children, its own settings. Or no kernel
# has it any more.
OWN = """_sysctl accept accept4 afs_syscall alarm arch_prctl brk cachestat capget capset clock_getres clock_gettime
    clock_nanosleep close close_range copy_file_range create_module dup dup2 dup3 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 exit exit_group
    fadvise64 fallocate fanotify_mark fchdir fcntl fdatasync fgetxattr flistxattr flock fork fstat fstatfs fsync
    ftruncate futex futex_requeue futex_wait futex_waitv futex_wake get_kernel_syms get_mempolicy get_thread_area
    getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgrp getpid
    getpmsg getppid getrandom getresgid getresuid getrlimit getrusage getsockname getsockopt gettid gettimeofday
    getuid inotify_add_watch inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lseek lsm_get_self_attr lsm_list_modules
    madvise map_shadow_stack mbind membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect
    mq_getsetattr mq_notify mq_timedreceive mq_timedsend mremap mseal msync munlock munlockall munmap nanosleep
    pause pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 pselect6 putpmsg
    pwrite64 pwritev pwritev2 query_module read readahead readv recvfrom recvmmsg recvmsg remap_file_pages
    restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait
    sched_get_priority_max sched_get_priority_min sched_yield seccomp security select sendfile sendmmsg sendmsg
    set_mempolicy set_mempolicy_home_node set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid
    setgroups setitimer setpgid setregid setresgid setresuid setreuid setsid setsockopt setuid shmdt shutdown
    sigaltstack signalfd signalfd4 splice sync_file_range syncfs tee time timer_create timer_delete
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tuxcall
    umask uprobe uretprobe vfork vmsplice vserver wait4 waitid write writev""".split()
# Calls that kernel headers of Debian 12 lack.
NEWER = """cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount
    lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat
    open_tree_attr file_getattr file_setattr""".split()
ALLOWED = (LANDLOCK, NAMES, METADATA, SIGNALS, QUERIES, OWN)


def ruled() -> set[str]:
    """Return the calls that the filter answers by a rule in some variant of this tier."""
    variants = ({}, {"network": True}, {"truncation": False}, {"devices": True})
    tables = [seccomprules.rules(namespaces=False, **variant) for variant in variants]
    return {name for rules in tables for names, _, _ in rules for name in names.split()}


def header(machine: str) -> dict[str, int]:
    """Return the numbers of the calls that this host's kernel headers know for a machine."""
    for path in _HEADERS[machine]:
        if os.path.exists(path):
            lines = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(path).read_text())
            return {name: int(number) for name, number in lines}
    pytest.skip("no kernel headers here")


def test_no_call_stands_in_two_groups() -> None:
    names = [name for group in ALLOWED for name in group]
    assert len(names) == len(set(names))


def test_every_call_that_headers_know_has_been_looked_at() -> None:
    """A call that takes a path, or the number of a process, is refused, or Landlock or the report says what it does."""
    known = {name for name, number in header("x86_64").items() if number <= NEWEST}
    looked_at = {name for group in ALLOWED for name in group} | ruled()
    assert known - looked_at == set()
    assert set(NEWER) <= looked_at
    assert looked_at - known - set(NEWER) <= {"uretprobe", "uprobe"}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("namespaces", [True, False])
def test_a_number_that_we_do_not_know_does_not_exist(machine: str, namespaces: bool) -> None:
    """Above the newest call, and in the gaps, which a kernel may fill with calls of its machine."""
    interpreter = Interpreter(seccomp.filter_program(machine, namespaces=namespaces))
    known = {number for first, last in KNOWN[machine] for number in range(first, last + 1)}
    unknown = [number for number in (*range(1200), 0x40000000, 0xFFFFFFFF) if number not in known]
    answers = {number: interpreter.run(number, _ARCHITECTURES[machine]) for number in unknown}
    assert set(answers.values()) == {ENOSYS}, [number for number, answer in answers.items() if answer != ENOSYS]
    assert len(known) < 400


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_of_the_machine_is_known(machine: str) -> None:
    """A 64-bit program has no calls between 244 and 259 or 295 and 423 of the generic table, which 32-bit ones use."""
    known = {number for first, last in KNOWN[machine] for number in range(first, last + 1)}
    beyond = {name: n for name, n in header(machine).items() if n <= NEWEST and n not in known}
    assert {
        name for name in beyond if not name.endswith("64") and "specific" not in name and name != "syscalls"
    } == set()
