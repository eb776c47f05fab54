"""The sweep: read everything that this process can see, and return the canaries. It never waits, and has bounds."""

import os
import stat

from probes_files import canaries

_FILE_LIMIT = 16 << 20
_MEMORY_LIMIT = 256 << 20  # of one process
_CHUNK = 1 << 20
_OVERLAP = 32  # longer than a canary


def sweep_files(roots, since):
    """Walk trees except /proc; look for canaries in every name, in the target of every link and in regular files.

    A file whose ctime (inode(7), set by the kernel) is before ``since`` cannot hold a canary, whichever path leads to
    it. The sweep does not read such files, so it takes seconds instead of hours.
    """
    found, seen = set(), {"files": 0, "directories": 0, "links": 0, "others": 0, "read": 0}
    pending = [os.fsencode(root) for root in roots]
    while pending:
        directory = pending.pop()
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        seen["directories"] += 1
        for entry in entries:
            found.update(canaries(entry.name))
            if entry.path != b"/proc":
                _look_at(entry, since, found, seen, pending)
    return {"found": sorted(found), "seen": seen}


def _look_at(entry, since, found, seen, pending):
    try:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            pending.append(entry.path)
        elif stat.S_ISREG(status.st_mode):
            seen["files"] += 1
            if status.st_ctime >= since:
                seen["read"] += 1
                _read_file(entry.path, found)
        elif stat.S_ISLNK(status.st_mode):
            seen["links"] += 1
            found.update(canaries(os.readlink(entry.path)))
        else:
            seen["others"] += 1
    except OSError:
        pass


def _read_file(path, found):
    # The file may have been replaced meanwhile: do not wait for a FIFO, and do not change the state of a device.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW)
    try:
        return _read(fd, found)
    finally:
        os.close(fd)


def _read(fd, found):
    size, overlap = 0, b""
    while size < _FILE_LIMIT and (part := os.read(fd, _CHUNK)):
        found.update(canaries(overlap + part))
        overlap, size = part[-_OVERLAP:], size + len(part)
    return size


def sweep_processes(pids):
    """Read the memory, environment, arguments and descriptors of the given processes, or of all except this one."""
    found, seen = set(), {}
    for pid in pids or sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid != os.getpid():
            seen[pid] = _sweep_process(f"/proc/{pid}", found)
    return {"found": sorted(found), "seen": seen}


def sweep_own():
    """Read this process's own memory, environment, arguments and descriptors. This attack runs before all others."""
    found = set()
    for name, value in os.environ.items():
        found.update(canaries(f"{name}={value}".encode()))
    return {"seen": _sweep_process("/proc/self", found), "found": sorted(found)}


def _sweep_process(directory, found):
    seen = {}
    for name in ("environ", "cmdline", "comm", "stat", "status", "limits", "maps", "mountinfo", "cgroup", "stack"):
        try:
            seen[name] = _read_file(f"{directory}/{name}", found)
        except OSError as error:
            seen[name] = error.strerror
    for name in ("cwd", "root", "exe"):
        try:
            found.update(canaries(os.fsencode(os.readlink(f"{directory}/{name}"))))
        except OSError:
            continue
    seen["descriptors"] = _sweep_descriptors(directory, found)
    seen["memory"] = _sweep_memory(directory, found)
    return seen


def _sweep_descriptors(directory, found):
    try:
        names = os.listdir(f"{directory}/fd")
    except OSError as error:
        return error.strerror
    for name in names:
        try:
            path = f"{directory}/fd/{name}"
            found.update(canaries(os.fsencode(os.readlink(path))))
            if stat.S_ISREG(os.stat(path).st_mode):
                with open(path, "rb") as file:
                    _read(file.fileno(), found)
        except OSError:
            continue
    return len(names)


def _sweep_memory(directory, found):
    """Read the writable memory of a process, which holds its variables. The sweep of files covers mapped files."""
    done = 0
    try:
        with open(f"{directory}/maps") as maps, open(f"{directory}/mem", "rb", buffering=0) as memory:
            for line in maps:
                addresses, rights, *_ = line.split()
                start, end = (int(part, 16) for part in addresses.split("-"))
                if rights.startswith("rw") and done < _MEMORY_LIMIT:
                    done += _read_region(memory, start, min(end, start + _MEMORY_LIMIT - done), found)
    except OSError as error:
        return error.strerror
    return done


def _read_region(memory, start, end, found):
    position = start
    try:
        while position < end:
            memory.seek(position)
            part = memory.read(min(_CHUNK, end - position))
            if not part:
                break
            found.update(canaries(part))
            position += len(part) if position + len(part) >= end else max(1, len(part) - _OVERLAP)
    except OSError:
        pass  # an unreadable page, such as one beyond the end of a mapped file
    return position - start


PROBES = {function.__name__: function for function in (sweep_files, sweep_own, sweep_processes)}
