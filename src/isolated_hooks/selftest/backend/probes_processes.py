"""Attacks on processes outside, and on the frontend with processes that the hook leaves behind."""

import ctypes
import fcntl
import os
import resource
import signal
import termios
import time

from probes_files import attempt, canaries, name_of, read
from probes_kernel import LIBC, call, in_child, number

_PR_SET_NAME = 15
_PTRACE_SEIZE, _PTRACE_DETACH = 0x4206, 17


def send_signal(pid, number):
    """Signal a process by its id and by a descriptor."""
    return {"kill": attempt(os.kill, pid, number), "pidfd": attempt(_by_descriptor, pid, number)}


def _by_descriptor(pid, number):
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)


def process_files(pid, names):
    """Read files of a process's directory in /proc; pid 0 stands for the parent."""
    return read([f"/proc/{pid or os.getppid()}/{name}" for name in names])


def visible_processes(pid):
    """Return whether /proc lists a process, and whether signal 0 reaches it."""
    return {"listed": str(pid) in os.listdir("/proc"), "exists": attempt(os.kill, pid, 0)}


def memory(pid, address, size):
    """Read another process's memory, with a system call and through /proc."""
    buffer = ctypes.create_string_buffer(size)

    class Vector(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    local, remote = Vector(ctypes.addressof(buffer), size), Vector(address, size)
    result = call(LIBC.process_vm_readv, pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    found = canaries(buffer.raw)
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            file.seek(address)
            found += canaries(file.read(size))
    except OSError as error:
        return {"found": found, "call": result, "file": name_of(error)}
    return {"found": found, "call": result}


def trace(pid):
    """Attach to a process and let it go again."""
    LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)

    def attach():
        result = call(LIBC.ptrace, _PTRACE_SEIZE, pid, None, None)
        if result == "done":
            # A tracer that ends detaches its tracees too.
            call(LIBC.ptrace, _PTRACE_DETACH, pid, None, None)
        return result

    return in_child(attach)


def steal_descriptor(pid, descriptor):
    """Copy a descriptor from another process, and read from it."""
    try:
        process = os.pidfd_open(pid)
    except OSError as error:
        return {"found": [], "error": name_of(error)}
    stolen = LIBC.syscall(number("pidfd_getfd"), process, descriptor, 0)
    os.close(process)
    if stolen < 0:
        return {"found": [], "error": os.strerror(ctypes.get_errno())}
    data = os.pread(stolen, 4096, 0)
    os.close(stolen)
    return {"found": canaries(data)}


def set_limit(pid):
    """Set a limit of another process to its current value."""
    return attempt(lambda: resource.prlimit(pid, resource.RLIMIT_CORE, resource.prlimit(pid, resource.RLIMIT_CORE)))


def lower_priority(pid):
    """Give another process the lowest priority."""
    return attempt(os.setpriority, os.PRIO_PROCESS, pid, 19)


def raise_priority():
    """Get priority over all other processes: a lower nice value, and real-time scheduling."""

    def get():
        ordinary = attempt(os.setpriority, os.PRIO_PROCESS, 0, -5)
        return {"ordinary": ordinary, "real-time": attempt(os.sched_setscheduler, 0, os.SCHED_RR, os.sched_param(1))}

    return in_child(get)


def sacrifice(pid, score):
    """Make the kernel kill another process first when memory runs out."""
    return attempt(_write, f"/proc/{pid}/oom_score_adj", score)


def _write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def orphans(count):
    """Leave processes that end at once without a parent that waits; return how many stay zombies for 30 seconds."""
    for _ in range(count):
        if os.fork() == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.wait()
    end = time.monotonic() + 30
    while (left := sum(map(_is_zombie, filter(str.isdigit, os.listdir("/proc"))))) and time.monotonic() < end:
        time.sleep(0.02)
    return {"left": left}


def _is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def own_semaphore():
    """Make a lock between processes, as builds with several processes do."""
    import multiprocessing

    try:
        with multiprocessing.Lock():
            return "done"
    except OSError as error:
        return name_of(error)


def daemon(name):
    """Leave a process in its own session that ignores signals and has a known name."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
        os.write(write_end, b"x")
        os.closerange(0, 256)
        time.sleep(600)
        os._exit(0)
    os.close(write_end)
    started = os.read(read_end, 1) == b"x"
    os.close(read_end)
    return {"started": started}


def wait(name, started, release, stubborn=False):
    """Give the hook's process a known name, create the file ``started``, and wait for the file ``release``."""
    LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    if stubborn:
        for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
    with open(started, "w"):
        pass
    _wait_until_exists(release)


def hold_output(name, release):
    """Leave a process behind that keeps standard output and error open."""
    if os.fork() == 0:
        os.setsid()
        LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
        _wait_until_exists(release)
        os._exit(0)


def _wait_until_exists(path):
    end = time.monotonic() + 300
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.02)


def end(code=None, number=None):
    """End the hook's process at once, with an exit code or a signal."""
    if number is not None:
        os.kill(os.getpid(), number)
    os._exit(code)


def terminal(text):
    """Write to the controlling terminal of the frontend."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        return {"open": name_of(error)}
    written = attempt(os.write, fd, text.encode())
    os.close(fd)
    return {"open": "done", "write": written}


def typed(text):
    """Type into the terminals of the standard descriptors (TIOCSTI)."""
    return {fd: [attempt(fcntl.ioctl, fd, termios.TIOCSTI, bytes([byte])) for byte in text.encode()] for fd in range(3)}


PROBES = {
    function.__name__: function
    for function in (
        daemon,
        end,
        hold_output,
        memory,
        lower_priority,
        orphans,
        own_semaphore,
        process_files,
        raise_priority,
        sacrifice,
        send_signal,
        set_limit,
        steal_descriptor,
        terminal,
        trace,
        typed,
        visible_processes,
        wait,
    )
}
