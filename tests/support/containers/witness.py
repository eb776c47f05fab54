"""An in-tree backend that observes, with its own code, which protections hold inside a hook.

The frontend passes the names to look for in ``config_settings``. The backend writes its observations to ``seen.json``
in the source tree: true if a protection holds completely, false if it does not, and null if a hook cannot tell.
"""

import ctypes
import json
import os
import socket

_NEWUSER = 0x10000000


def get_requires_for_build_wheel(config_settings):
    given = json.loads(config_settings["given"])
    seen = {name: look(given) for name, look in _LOOKS.items()}
    with open("seen.json", "w") as file:
        json.dump(seen, file)
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    raise NotImplementedError


def _filesystem(given):
    """Private files do not exist, and system directories are not writable."""
    return not os.path.lexists(given["secret"]) and not any(map(_can_write, ("/usr", "/etc", "/")))


def _can_write(directory):
    try:
        os.close(os.open(f"{directory}/isolated-hooks-seen", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except OSError:
        return False
    os.unlink(f"{directory}/isolated-hooks-seen")
    return True


def _temporary(given):
    """The shared directories exist, and contain no file of the host."""
    try:
        return given["name"] not in os.listdir("/tmp") and _can_write("/tmp")
    except OSError:
        return False


def _environment(given):
    return given["variable"] not in os.environ and given["value"] not in os.environ.values()


def _network(_given):
    """There is no interface except the loopback, or the hook cannot create a socket to use one."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("192.0.2.1", 9))
    except OSError:
        return True
    return False


def _ipc(given):
    """The hook cannot connect to a socket outside, neither by a path nor by an abstract name."""
    return not any(map(_can_connect, (given["socket"], "\0" + given["abstract socket"])))


def _can_connect(address):
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(address)
    except OSError:
        return False
    return True


def _processes(_given):
    """/proc shows the hook's own PID namespace, in which its parent is pid 1."""
    return os.getppid() == 1 and os.readlink("/proc/self") == str(os.getpid())


def _hostname(_given):
    return socket.gethostname() == "localhost"


def _identity(given):
    """The hook is not root in the caller's user namespace. An ordinary caller's hook always has the caller's uid."""
    if given["uid"] != 0:
        return None
    with open("/proc/self/uid_map") as file:
        extents = [tuple(map(int, line.split())) for line in file]
    uid = os.getuid()
    outside = [start + uid - first for first, start, count in extents if first <= uid < first + count]
    return outside not in ([], [0])


def _privileges(given):
    """The hook has no capability, or only in its own user namespace, and cannot gain one."""
    status = _status()
    own = os.readlink("/proc/self/ns/user") != given["user namespace"]
    held = [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(status[name], 16)]
    return status["NoNewPrivs"] == "1" and (own or not held)


def _status():
    with open("/proc/self/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def _syscalls(_given):
    """Our own filter is in force. The container's filter may allow user namespaces, but ours does not."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(_NEWUSER) == 0 else 1)
    refused = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    return refused and _status()["Seccomp"] == "2"


def _terminal(_given):
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return os.getsid(0) != 0 and os.read(0, 1) == b""
    return False


def _descriptors(_given):
    listing = os.open("/proc/self/fd", os.O_RDONLY)
    numbers = {int(name) for name in os.listdir(listing)} - {listing}
    os.close(listing)
    open_ones = set()
    for number in numbers:
        try:
            os.fstat(number)
        except OSError:
            continue
        open_ones.add(number)
    return open_ones <= {0, 1, 2}


_LOOKS = {
    "filesystem": _filesystem,
    "temporary": _temporary,
    "environment": _environment,
    "network": _network,
    "ipc": _ipc,
    "processes": _processes,
    "hostname": _hostname,
    "identity": _identity,
    "privileges": _privileges,
    "syscalls": _syscalls,
    "terminal": _terminal,
    "descriptors": _descriptors,
}
