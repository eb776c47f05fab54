"""Attacks with sockets and other communication with processes outside."""

import ctypes
import os
import socket

from probes_files import attempt, canaries, name_of
from probes_kernel import LIBC, call

_FAMILIES = {"alg": 38, "bluetooth": 31, "can": 29, "packet": 17, "rds": 21, "tipc": 30, "vsock": 40, "xdp": 44}
_NETLINK_KOBJECT_UEVENT = 15


def connect(family, kind, address, token):
    """Connect a socket, and send the token."""
    return attempt(_connect, getattr(socket, family), getattr(socket, kind), address, token)


def _connect(family, kind, address, token):
    # In JSON, a pair is a list, and an abstract socket's name begins with "@".
    where = tuple(address) if isinstance(address, list) else address
    if isinstance(where, str) and where.startswith("@"):
        where = "\0" + where[1:]
    with socket.socket(family, kind) as sock:
        sock.settimeout(10)
        sock.connect(where)
        sock.sendall(token.encode())


def hand_over(address, path):
    """Pass an open file to a listener."""
    with open(path, "rb") as file:
        return attempt(_hand_over, address, file.fileno())


def _hand_over(address, descriptor):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(address)
        socket.send_fds(sock, [b"x"], [descriptor])


def route(address):
    """Ask the kernel for a route to an address. Connecting a datagram socket sends nothing."""
    return attempt(_route, address)


def _route(address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, 9))


def name_servers():
    """Find a route to each name server that is not on the loopback. A name in a query can carry a message out."""
    try:
        with open("/etc/resolv.conf") as file:
            words = [line.split() for line in file]
    except OSError as error:
        return [name_of(error)]
    servers = {fields[1] for fields in words if fields[:1] == ["nameserver"] and len(fields) > 1}
    return [route(server.partition("%")[0]) for server in sorted(servers) if not server.startswith(("127.", "::1"))]


def interfaces():
    """Return the network interfaces except the loopback."""
    try:
        return {"others": sorted(name for _, name in socket.if_nameindex() if name != "lo")}
    except OSError as error:
        return {"others": [], "error": name_of(error)}


def family(name):
    """Make a socket of a family that no build needs."""
    kind = socket.SOCK_SEQPACKET if name == "alg" else socket.SOCK_RAW if name in ("packet", "can", "xdp") else None
    kinds = [kind] if kind else [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW]
    return [attempt(_make, _FAMILIES[name], kind) for kind in kinds]


def raw_socket():
    """Make a raw socket, which can forge packets."""
    return attempt(_make, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def device_events():
    """Make a socket that receives events of the host's devices."""
    return attempt(_make, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_KOBJECT_UEVENT)


def _make(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()


def own_loopback():
    """Connect to this process over the loopback, as builds do that run tests or MPI."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 10):
            return "done"
    except OSError as error:
        return name_of(error)


def shared_memory(identifier):
    """Read a System V shared memory segment."""
    LIBC.shmat.restype = ctypes.c_void_p
    address = LIBC.shmat(identifier, None, 0o10000)
    if address in (None, ctypes.c_void_p(-1).value):
        return {"found": [], "error": os.strerror(ctypes.get_errno())}
    found = canaries(ctypes.string_at(address, 64))
    LIBC.shmdt(ctypes.c_void_p(address))
    return {"found": found}


def semaphore(identifier):
    """Raise a System V semaphore."""
    operation = (ctypes.c_short * 3)(0, 1, 0o4000)  # number, change, IPC_NOWAIT
    return call(LIBC.semop, identifier, operation, ctypes.c_size_t(1))


def message_queue(identifier):
    """Receive a message from a System V queue."""
    buffer = ctypes.create_string_buffer(128)
    result = call(LIBC.msgrcv, identifier, buffer, ctypes.c_size_t(64), ctypes.c_long(0), 0o4000)
    return {"found": canaries(buffer.raw), "call": result}


def named_queue(name):
    """Receive a message from a POSIX queue."""
    libc = LIBC if hasattr(LIBC, "mq_open") else ctypes.CDLL("librt.so.1", use_errno=True)
    queue = libc.mq_open(name.encode(), os.O_RDONLY | os.O_NONBLOCK)
    if queue < 0:
        return {"found": [], "error": os.strerror(ctypes.get_errno())}
    buffer = ctypes.create_string_buffer(8192)
    libc.mq_receive(queue, buffer, ctypes.c_size_t(len(buffer)), None)
    os.close(queue)
    return {"found": canaries(buffer.raw)}


PROBES = {
    function.__name__: function
    for function in (
        connect,
        device_events,
        family,
        hand_over,
        interfaces,
        message_queue,
        name_servers,
        named_queue,
        own_loopback,
        raw_socket,
        route,
        semaphore,
        shared_memory,
    )
}
