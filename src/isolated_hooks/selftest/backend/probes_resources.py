"""Attacks on shared resources: processes, memory, disks, output, time. Each attack stops after a bounded time."""

import contextlib
import errno
import json
import os
import resource
import signal
import sys
import time

_MIB = 1024 * 1024


def _expand(text):
    """Return a path, with variables and the directories @control and @output of this hook replaced by their values."""
    text = os.path.expandvars(text).replace("@control", sys.argv[2])
    if "@output" not in text:
        return text
    with open(os.path.join(sys.argv[2], "input.json")) as file:
        kwargs = json.load(file)["kwargs"]
    return text.replace("@output", next(value for name, value in kwargs.items() if name.endswith("_directory")))


def fork_many(most):
    """Fork until fork fails or ``most`` children live at once; return their number, and kill them."""
    children, refused = [], ""
    try:
        while len(children) < most:
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            children.append(pid)
    except OSError as error:
        refused = errno.errorcode[error.errno]
    if not refused:
        time.sleep(3)  # a sample of all these processes may cost 0.1 s, and the watching process then pauses for 2 s
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return {"count": len(children), "refused": refused}


def bomb(seconds):
    """Let every process fork as fast as it can, for nine generations. All of them ignore signals."""
    end = time.monotonic() + seconds
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    generation = 0
    while time.monotonic() < end:
        try:
            if generation < 9:  # at most 512 processes, if nothing stops it
                os.fork()
                generation += 1
        except OSError:
            pass
        time.sleep(0.01)


def fill_memory(size):
    """Touch ``size`` bytes of memory."""
    try:
        held = bytearray(size)
        for offset in range(0, size, 4096):
            held[offset] = 1
    except MemoryError:
        return "MemoryError"
    time.sleep(1)
    return "done"


def fill_disk(where, size, pause=0.0):
    """Write files of one MiB until they have ``size`` bytes together, or the disk is full."""
    directory = _expand(where)
    os.makedirs(directory, exist_ok=True)
    try:
        for number in range(size // _MIB):
            with open(os.path.join(directory, str(number)), "wb") as file:
                file.write(bytes(_MIB))
            time.sleep(pause)
    except OSError as error:
        return {"refused": errno.errorcode[error.errno], "number": number}
    return {"refused": "", "number": number + 1}


def say_much(size):
    """Print ``size`` bytes."""
    while size > 0:
        size -= os.write(1, b"y" * min(size, 65536))
    return "done"


def be_silent(seconds):
    """Print nothing for a while."""
    time.sleep(seconds)
    return "done"


def compute(seconds, processes):
    """Use the processor with several processes at once, each for a number of seconds."""
    children = []
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
            os._exit(0)
        children.append(pid)
    return "done" if all(os.waitpid(pid, 0)[1] == 0 for pid in children) else "killed"


def hold_descriptors(most):
    """Open as many files as the hard limit allows, at most ``most``; return their number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    try:
        while len(held) < most:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    count = len(held)
    for fd in held:
        os.close(fd)
    return count


def hold_terminals(most):
    """Open as many pseudo-terminals as the host allows, at most ``most``; return their number."""
    held = []
    try:
        while len(held) < most:
            held.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        pass
    count = len(held)
    for fd in held:
        os.close(fd)
    return count


def oom_score(pid):
    """Read how soon the kernel kills this process when memory runs out, and try to make it kill another one first."""
    evidence = {}
    for name, value in (("self", "-900"), (str(pid), "1000")):
        try:
            with open(f"/proc/{name}/oom_score_adj") as file:
                evidence[f"{name} before"] = int(file.read())
            with open(f"/proc/{name}/oom_score_adj", "w") as file:
                file.write(value)
        except OSError as error:
            evidence[name] = errno.errorcode[error.errno]
    return evidence


def litter(where, depth):
    """Leave a tree that is hard to remove: deep, with odd names, no permissions, a socket, a FIFO, links out of it."""
    top = _expand(where)
    os.makedirs(top, exist_ok=True)
    here = os.open(top, os.O_RDONLY)
    for name in (b"\xff\xfe", b"new\nline", b"-rf", b" ", b"\x1b[2J", b"x" * 255):
        os.mkdir(name, dir_fd=here)
        os.close(os.open(os.path.join(os.fsencode(top), name, b"file"), os.O_CREAT | os.O_WRONLY, 0))
        os.chmod(name, 0, dir_fd=here)
    os.mkfifo("fifo", dir_fd=here)
    with contextlib.suppress(PermissionError):  # where only pid 1 makes sockets
        os.mknod("socket", 0o140000, dir_fd=here)
    os.symlink("/", "root", dir_fd=here)
    os.symlink("..", "up", dir_fd=here)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.fchmod(here, 0)
    os.close(here)
    os.chmod(os.path.join(top, "d"), 0)
    return "done"


PROBES = {
    function.__name__: function
    for function in (
        be_silent,
        bomb,
        compute,
        fill_disk,
        fill_memory,
        fork_many,
        hold_descriptors,
        hold_terminals,
        litter,
        oom_score,
        say_much,
    )
}
