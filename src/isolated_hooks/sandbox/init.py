"""Pid 1 builds the sandbox from inside, starts the hook, reaps processes, and ends everything with the hook."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import fcntl
import os
from errno import EACCES, EAFNOSUPPORT, ENOENT, ENOSYS, ENOTDIR, EPERM

from . import attempts, environ, identity, landlock, lookups, mounts, namespaces, pipes, privileges, syscalls
from .broker import Broker
from .degradations import Degradations
from .ending import children, die_with_parent
from .forking import fork
from .listener import Handover
from .root import Root

if False:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from .observing import Observer
    from .operations import Operation

#: The signals that a frontend sends to the launcher, and that reach the hook.
FORWARDED = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)


class Init:
    """The work of pid 1, in order. Other kinds of pid 1 override some steps.

    :param plan: the plan, as the parent sends it
    :param operations: the steps that build the root filesystem
    :param entered: the identity that the launcher has taken
    :param root_path: the directory to mount the new root at
    :param report: the descriptor to write reports to
    :ivar stage: the step that pid 1 has reached, for reports of a failure
    :ivar trial: there is no command, so pid 1 sets up and runs nothing
    :ivar names_in: lists the hook's HOME, if a report asks for it
    :ivar observer: takes note of what the hook asks for, if somebody wants to know
    :cvar brokered: pid 1 connects and binds for the hook, if the host lets it
    """

    brokered = True

    def __init__(
        self,
        plan: dict[str, Any],
        operations: list[Operation],
        entered: identity.Entered,
        root_path: bytes,
        report: int,
    ) -> None:
        self.plan = plan
        self.operations = operations
        self.entered = entered
        self.root_path = root_path
        self.report = report
        self.degradations = Degradations(plan["degradable"], report)
        self.stage = "starting"
        self.trial = False
        self.broker: Broker | None = None
        self.lookups: lookups.Lookups | None = None
        self.queues: int | None = None
        self.names_in: Callable[[bytes], list[bytes]] | None = None
        if plan.get("home"):
            from . import left  # now: the files of this package are soon out of sight

            self.names_in = left.names_in
        self.observer: Observer | None = None
        if plan.get("observed"):
            from . import observing  # now, too

            self.observer = observing.Observer()
        self.capabilities = [privileges.CAPABILITIES[name] for name in plan["identity"]["capabilities"]]

    def run(self, argv: list[bytes], leash: int) -> None:
        """Set up, run the hook, report how it ended, and end, which ends all other processes of the PID namespace.

        :param argv: the command, or empty for a trial
        :param leash: the read end of a pipe; only the launcher holds the other end
        """
        try:
            die_with_parent(leash)
            self.trial = not argv
            self._work(argv, leash)
        except mounts.OperationError as error:
            cause = error.__cause__
            self._fail(cause if isinstance(cause, OSError) else OSError(), error.operation.at)
        except OSError as error:
            self._fail(error, getattr(error, "path", None) or error.filename)
        finally:
            os._exit(0)

    def _work(self, argv: list[bytes], leash: int) -> None:
        self._set_up()
        variables = self._environment()
        if self.trial:
            self.stage = "descriptors"
            syscalls.close_on_exec_from(3)  # the last step before a hook's process becomes the hook
            pipes.send(self.report, "exited", 0)
            return
        before = self._names_in_home()
        hook = self._start(argv, variables)
        # The launcher may have ended while the last change of credentials disarmed the signal, prctl(2).
        die_with_parent(leash)
        code = _reap(hook) if self.broker is None else self.broker.serve(hook)
        self._end_rest()
        if self.names_in is not None:
            pipes.send(self.report, "home", tuple(name for name in self._names_in_home() if name not in before))
        seen = None if self.broker is None else self.broker.attempts
        names = () if self.lookups is None else self.lookups.names
        attempts.tell(self.report, code, seen, self.operations, names)
        if self.observer is not None and seen is not None:
            self.observer.tell(self.report, seen.rows())
        pipes.send(self.report, "exited", code)

    def _names_in_home(self) -> list[bytes]:
        return [] if self.names_in is None else self.names_in(self.plan["home"])

    def _fail(self, error: OSError, path: object) -> None:
        name = os.fsencode(path) if isinstance(path, (str, bytes)) else b""
        pipes.send(self.report, "failed", self.stage, getattr(error, "syscall", ""), name, error.errno or 0)

    def _set_up(self) -> None:
        self._enter_root()
        self.stage = "keyring and terminal"
        self._join_keyring()
        os.setsid()
        self._use_terminal()
        self._use_limits()
        self._give_up_privileges()

    def _end_rest(self) -> None:
        """End the processes of the hook that do not end with this process."""

    def _use_terminal(self) -> None:
        if self.plan["terminal"] and not self.trial:  # a trial has no terminal to take
            _take_terminal()

    def _use_limits(self) -> None:
        self.stage = "working directory"
        os.chdir(self.plan["cwd"])
        if self.plan["stdin"] == b"null":
            privileges.stdin_from_null()
        self.stage = "limits"
        limits = {name: value for name, value in self.plan["limits"].items() if name != "NOFILE"}
        privileges.limit(limits)

    def _give_up_privileges(self) -> None:
        self.stage = "privileges"
        # For the broker: programs with secrets, such as gpg-agent, let nobody else look into them, PR_SET_DUMPABLE.
        privileges.reduce(self.capabilities, own=1 << privileges.CAP_SYS_PTRACE)
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        self._build_walls()
        self.stage = "system call filter"
        privileges.forbid(watches=self.entered.watches)

    def _build_walls(self) -> None:
        self.stage = "Landlock"
        if self.plan["scope"]:
            self._scope()
        landlock.build_wall(landlock.rules_of(self.plan["operations"]), self.queues)

    def _enter_root(self) -> None:
        plan = self.plan
        self.stage = "network and host name"
        try:
            syscalls.sethostname(plan["hostname"])
        except syscalls.SyscallError:
            # The seccomp profiles of containers check CAP_SYS_ADMIN in the container, not in our namespace.
            self.degradations.allow("hostname", "the host refuses sethostname(2), even in a UTS namespace of our own")
        if not plan["network"]:
            self._bring_loopback_up()
            self._serve_names()
        self._open_way_out()
        self.stage = "mounts"
        umask = os.umask(0o022)
        mounts.mount_root(self.root_path, on_disk=not self.entered.mapped)
        self.stage = "root filesystem"
        entered = self.entered
        root = Root(
            self.root_path,
            trees=entered.trees,
            uid=entered.uid,
            gid=entered.gid,
            mapped=entered.mapped,
            degradations=self.degradations,
        )
        self.queues = root.queues()
        mounts.build_root(root, self.operations)
        os.umask(umask)

    def _open_way_out(self) -> None:
        if "channel" in self.plan:
            from . import wayout  # only here: each import costs every hook

            self.stage = wayout.STAGE
            wayout.hand_over(self.plan["channel"])

    def _bring_loopback_up(self) -> None:
        try:
            namespaces.loopback_up()
        except syscalls.SyscallError as error:
            # A filter that forbids internet sockets here applies to the hook too, which could not use a loopback then.
            if error.syscall != "socket" or error.errno not in (EPERM, EACCES, ENOSYS, EAFNOSUPPORT):
                raise

    def _serve_names(self) -> None:
        try:
            self.lookups = lookups.Lookups()
        except syscalls.SyscallError:
            return  # then the resolver reads only files
        self.operations = lookups.asked_too(self.operations)

    def _join_keyring(self) -> None:
        try:
            syscalls.join_new_session_keyring()
        except syscalls.SyscallError:
            # If the host refuses us keyctl(2), the same filter refuses it to the hook, and so does ours.
            self.degradations.allow("keyring", "the host refuses keyctl(2), to the hook as well")

    def _scope(self) -> None:
        try:
            landlock.scope_abstract_sockets()
        except syscalls.SyscallError:
            reason = (
                "abstract unix sockets belong to the network, unix(7), and this kernel's Landlock cannot scope them"
            )
            self.degradations.allow("ipc", reason)

    def _environment(self) -> dict[bytes, bytes]:
        self.stage = "environment"
        merged = dict(os.environb)
        kept = environ.apply(merged, self.plan["environ"])
        pipes.send(self.report, "dropped", tuple(sorted(name for name in merged if name not in kept)))
        return kept

    def _start(self, argv: list[bytes], variables: dict[bytes, bytes]) -> int:
        self.stage = "starting the command"
        if self.observer is not None:
            self.observer.begin(self.operations, variables.get(b"PATH", b""))
        read, write = os.pipe()
        hook = self._fork(argv, variables, write)
        os.close(write)
        # Signals have been blocked since before the fork. From here on, the hook can get them.
        for number in FORWARDED:
            _signal.signal(number, _forward)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        if self.observer is not None and self.broker is not None:
            self.broker.answer_until(read)
        failure = os.read(read, 4)
        os.close(read)
        if failure:
            error = syscalls.SyscallError(int.from_bytes(failure, "little"), "execve", argv[0])
            raise error
        pipes.send(self.report, "running")
        return hook

    def _fork(self, argv: list[bytes], variables: dict[bytes, bytes], report: int) -> int:
        """Fork the process that becomes the hook, with a broker if the host lets us. Return its pid."""
        handover = Handover() if self.brokered else None
        # A change of credentials may have taken this from us, and pid 1 looks into the child: ptrace(2), "access mode".
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, int(handover is not None))
        hook = fork()
        if hook == 0:
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)
            _execute(argv, variables, report, lambda: self._become_hook(handover))
        requests = handover.accept(hook) if handover is not None else None
        # The memory of pid 1 contains the caller's environment: nobody may trace it or read its /proc files, prctl(2).
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        if handover is None:
            return hook
        self.broker = self._hire(requests)
        handover.end(go=self.broker is not None)
        if self.broker is not None:
            return hook
        os.waitpid(hook, 0)
        if self.lookups is not None:
            os.close(self.lookups.fd)  # nobody would answer
            self.lookups = None
        if self.observer is not None:
            # Unobserved, the hook would run as if nothing had been denied.
            self.stage = self.observer.stage
            raise syscalls.SyscallError(ENOSYS, "seccomp")
        self.brokered = False
        return self._fork(argv, variables, report)

    def _hire(self, requests: int | None) -> Broker | None:
        try:
            if requests is None:
                return None
            abstract = not self.plan["network"]
            return Broker(requests, abstract=abstract, observer=self.observer, lookups=self.lookups)
        except syscalls.SyscallError:
            return None  # it cannot tell mounts apart

    def _become_hook(self, handover: Handover | None) -> None:
        # Not pid 1, which needs some descriptors for its own work.
        privileges.limit_files(self.plan["files"], self.plan["limits"].get("NOFILE"))
        self._confine_hook(handover)

    def _confine_hook(self, handover: Handover | None) -> None:
        """Take from the process that becomes the hook what pid 1 has for the broker."""
        privileges.drop_own(self.capabilities)
        privileges.forbid_hook(handover, observed=self.observer is not None)


def _take_terminal() -> None:
    # tty_ioctl(2): TIOCSCTTY. This is the pseudo-terminal of `isolated-hooks run`, never the caller's own terminal.
    fcntl.ioctl(0, 0x540E, 0)


def _forward(number: int, _frame: object) -> None:
    try:
        if os.getpid() == 1:
            os.kill(-1, number)  # every process of the namespace except pid 1, kill(2)
        else:
            for pid in children():
                os.kill(pid, number)
    except ProcessLookupError:
        pass  # the hook has just ended


def _reap(hook: int) -> int:
    """Wait for every child until the hook ends. Return the hook's exit code, or the negative number of its signal."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == hook:
            return os.waitstatus_to_exitcode(status)


def _execute(argv: list[bytes], variables: dict[bytes, bytes], report: int, confine: Callable[[], None]) -> NoReturn:
    """Become the hook. If that fails, write the errno to the pipe ``report`` and end."""
    number = 0
    try:
        for ignored in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python ignores them, but a build expects the default
            _signal.signal(ignored, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        syscalls.close_on_exec_from(3)
        confine()
        _exec(argv, variables)
    except OSError as error:
        number = error.errno or 0
    finally:
        os.write(report, (number or 1).to_bytes(4, "little"))
        os._exit(127)


def _exec(argv: list[bytes], variables: dict[bytes, bytes]) -> None:
    """Execute a command. Search PATH as execvp(3) does: os.execvpe() imports a module, which is out of sight by now."""
    name = argv[0]
    if not name:
        raise OSError(ENOENT, "")
    directories = [b""] if b"/" in name else variables[b"PATH"].split(b":")
    failure = OSError(ENOENT, "")
    for directory in directories:
        try:
            os.execve(os.path.join(directory, name), argv, variables)
        except OSError as error:
            if error.errno not in (ENOENT, ENOTDIR, EACCES):
                raise
            if failure.errno != EACCES:
                failure = error
    raise failure
