"""Pid 1 where there are no namespaces: Landlock and seccomp confine the hook, and nothing ends with this process."""

from __future__ import annotations

from . import identity, landlock, pipes, privileges, syscalls
from .ending import end_children, end_scoped
from .guard import leave_guard
from .init import Init

# The devices that every hook sees. They and the descriptors of a hook take no other requests than those for terminals.
_DEVICES = (b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/random", b"/dev/urandom", b"/dev/tty", b"/dev/console")


class Confined(Init):
    """What takes the place of pid 1: a subreaper that confines itself, and ends by hand what the hook has left."""

    brokered = False
    scoped = False  # Landlock lets it signal nothing beyond the sandbox

    def _work(self, argv: list[bytes], leash: int) -> None:
        if not self.trial:
            self.stage = "starting pid 1"
            self._leave_guard(leash)
        super()._work(argv, leash)

    def _leave_guard(self, leash: int) -> None:
        throw_away = self.plan["identity"]["throw_away"]
        # A scope within the launcher's, so that the guard cannot signal the launcher.
        scoped = not throw_away and landlock.scope_signals()

        def end() -> None:
            if throw_away:
                identity.end_all(self.entered.uid)
            if scoped:
                end_scoped()
            end_children()

        leave_guard(leash, end)

    def _enter_root(self) -> None:
        """Stay in the caller's: there is no other."""

    def _give_up_privileges(self) -> None:
        self.stage = "privileges"
        separate = self.plan["identity"]["throw_away"]
        if separate:
            privileges.keep_permitted_over_setuid()
            identity.become(self.entered.uid, self.entered.uid)
        privileges.reduce_what_can_be(self.capabilities)
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        self.stage = "Landlock"
        network = self.plan["network"]
        confined = landlock.confine(self.plan["rules"], network=network)
        self.scoped = confined.signals
        if not self.scoped and not separate:
            # Also the launcher and the guard: nothing else would end what the hook leaves.
            reason = (
                "without user namespaces, on a kernel before 6.12: the hook reads the host's /proc as far as its user"
                " may, and can signal the caller's other processes, the frontend and those that would end the hook"
                " among them, so its own processes can go on after the call"
            )
            pipes.send(self.report, "degraded", "processes", reason)
        self.stage = "system call filter"
        devices = any(kind == landlock.DEVICE and path not in _DEVICES for path, kind in self.plan["rules"])
        privileges.forbid_confined(network=network, truncation=confined.truncation, devices=devices)

    def _start(self, argv: list[bytes], variables: dict[bytes, bytes]) -> int:
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        return super()._start(argv, variables)

    def _confine_hook(self, _handover: object) -> None:
        """Do nothing: pid 1 has nothing that the hook has not."""

    def _end_rest(self) -> None:
        if self.scoped:
            end_scoped()
        end_children()
