"""An in-tree backend that looks around: what holds within the hook, protection by protection, by means of its own.

The frontend says by ``config_settings`` what is to be looked for; what was seen goes to ``seen.json`` in the source
tree. Where the value is true, a protection holds in full; where it is null, this cannot be seen from within.
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
    """What is not for the hook does not exist, and what is there cannot be written."""
    return not os.path.lexists(given["secret"]) and not any(map(_can_write, ("/usr", "/etc", "/")))


def _can_write(directory):
    try:
        os.close(os.open(f"{directory}/isolated-hooks-seen", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except OSError:
        return False
    os.unlink(f"{directory}/isolated-hooks-seen")
    return True


def _temporary(given):
    """The shared directories are there, and hold nothing of the host's."""
    try:
        return given["name"] not in os.listdir("/tmp") and _can_write("/tmp")
    except OSError:
        return False


def _environment(given):
    return given["variable"] not in os.environ and given["value"] not in os.environ.values()


def _network(_given):
    """There is no interface but the loopback, or no socket to use one by."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("192.0.2.1", 9))
    except OSError:
        return True
    return False


def _ipc(given):
    """No socket outside can be connected to, neither by a path nor by an abstract name."""
    return not any(map(_can_connect, (given["socket"], "\0" + given["abstract socket"])))


def _can_connect(address):
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(address)
    except OSError:
        return False
    return True


def _processes(_given):
    """The numbers in /proc are those of the hook's own PID namespace, in which its parent is the first."""
    return os.getppid() == 1 and os.readlink("/proc/self") == str(os.getpid())


def _hostname(_given):
    return socket.gethostname() == "localhost"


def _identity(given):
    """Who is not root for the caller's user namespace; an ordinary caller's hook is nobody else anywhere."""
    if given["uid"] != 0:
        return None
    with open("/proc/self/uid_map") as file:
        extents = [tuple(map(int, line.split())) for line in file]
    uid = os.getuid()
    outside = [start + uid - first for first, start, count in extents if first <= uid < first + count]
    return outside not in ([], [0])


def _privileges(given):
    """No capability, or only in a user namespace of its own, and none can be gained."""
    status = _status()
    own = os.readlink("/proc/self/ns/user") != given["user namespace"]
    held = [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(status[name], 16)]
    return status["NoNewPrivs"] == "1" and (own or not held)


def _status():
    with open("/proc/self/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def _syscalls(_given):
    """A filter is in force that is not the container's: that one may let user namespaces through."""
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
