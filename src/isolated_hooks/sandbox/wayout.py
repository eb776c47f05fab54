"""The way out of a sandbox that reaches named hosts only: a listening socket in its network, and a proxy outside.

A socket belongs to the network namespace that it was made in, network_namespaces(7). So pid 1 makes the listener in the
sandbox's own network and gives it to the proxy, a process in the caller's network that the frontend has started. The
launcher connects to that process while it still sees the workspace, pid 1 inherits the channel, and nothing of the
proxy but its listener is ever within reach of a hook. The channel ends with the launcher, and so does the proxy; if the
proxy ends first, the channel hangs up, and the launcher ends the hook.
"""

from __future__ import annotations

import os

from . import syscalls

if False:
    import _socket

#: Where a hook finds the proxy. The kernel hands out no such port by itself, ip_local_port_range in ip(7).
ADDRESS, PORT = "127.0.0.1", 61080
#: The name of the proxy's socket in the workspace.
NAME = b"proxy"
#: The stage of a set-up that failed here.
STAGE = "the way to the proxy"
_BACKLOG = 128


def connect(workspace: bytes) -> _socket.socket:
    """Connect to the proxy that listens in the workspace. Return the channel, which is closed on exec.

    :raises SyscallError: nobody listens there
    """
    import _socket  # only here: each import costs every hook

    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    directory = os.open(workspace, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # The address has no room for the path of every workspace, unix(7).
        channel.connect(b"/proc/self/fd/%d/%b" % (directory, NAME))
    except OSError as error:
        raise syscalls.SyscallError(error.errno or 0, "connect", NAME) from error
    finally:
        os.close(directory)
    return channel


def hand_over(channel: int) -> None:
    """Listen in this network, give the listener to the proxy, and close the channel and the listener.

    :param channel: the descriptor of the channel
    :raises SyscallError: this host lets nobody listen, or the proxy has ended
    """
    import _socket

    call = "socket"
    try:
        way = _socket.socket(fileno=channel)
        listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        call = "listen"
        listener.bind((ADDRESS, PORT))
        listener.listen(_BACKLOG)
        call = "sendmsg"
        fds = listener.fileno().to_bytes(4, "little")
        way.sendmsg((b"l",), ((_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds),), _socket.MSG_NOSIGNAL)
        listener.close()
        way.close()
    except OSError as error:
        raise syscalls.SyscallError(error.errno or 0, call) from error
