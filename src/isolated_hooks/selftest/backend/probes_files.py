"""Attacks on files. Each function returns its evidence; a failed step is in it as an error's name."""

import errno
import fcntl
import os
import re
import socket
import stat

# FS_IOC_GETFLAGS, FS_IOC_SETFLAGS and FS_IMMUTABLE_FL of linux/fs.h.
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10
_CANARY = re.compile(rb"CANARY-[0-9a-f]{16}")


def canaries(data):
    """Return the canaries in some bytes. Nothing else from the host gets into the evidence."""
    return sorted({match.decode() for match in _CANARY.findall(data)})


def name_of(error):
    """Return an error's symbolic name."""
    return errno.errorcode.get(error.errno or 0, str(error))


def attempt(function, *arguments, **named):
    """Call a function and return "done" or the error's name."""
    try:
        function(*arguments, **named)
    except OSError as error:
        return name_of(error)
    return "done"


def read(paths):
    """Read files. ``~`` stands for the home directory, from HOME or the account."""
    found, errors = [], {}
    for path in paths:
        try:
            with open(os.path.expanduser(path), "rb") as file:
                found += canaries(file.read(1 << 20))
        except OSError as error:
            errors[path] = name_of(error)
    return {"found": found, "errors": errors}


def open_for_reading(paths):
    """Open and read files, and discard their contents, which must not get into the evidence."""
    return {path: attempt(_open_and_read, path) for path in paths}


def _open_and_read(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.read(fd, 8192)  # /dev/kmsg returns a whole record or an error
    finally:
        os.close(fd)


def look_at(paths):
    """Find out whether files exist, without opening them."""
    return {path: attempt(os.lstat, path) for path in paths}


def search_path():
    """Return the directories of PATH."""
    return {"entries": os.environ.get("PATH", "").split(":")}


def list_names(paths):
    """List directories."""
    found = []
    for path in paths:
        try:
            found += canaries("\n".join(os.listdir(path)).encode())
        except OSError:
            continue
    return {"found": found}


def environment(names):
    """Read variables of this process, and the environment of a child process."""
    grandchild = os.popen("env").read()
    values = "\n".join(os.environ.get(name, "") for name in names)
    return {"found": canaries(values.encode()), "grandchild": canaries(grandchild.encode())}


def standard_input():
    """Read the frontend's standard input."""
    return {"found": canaries(os.read(0, 65536))}


def create(paths, text):
    """Create files, and their parent directories."""
    return {path: attempt(_create, path, text) for path in paths}


def _create(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "x") as file:
        file.write(text)


def append(paths, text):
    """Append to existing files, after trying to make them writable."""
    return {path: (attempt(os.chmod, path, 0o666), attempt(_append, path, text)) for path in paths}


def _append(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def remove(paths):
    """Remove files."""
    return {path: attempt(os.unlink, path) for path in paths}


def replace(path, text):
    """Replace a file by renaming another one over it."""
    return {"create": attempt(_create, path + ".new", text), "rename": attempt(os.rename, path + ".new", path)}


def change_metadata(path):
    """Change a file's times and mode, which a read-only mount must refuse even to the file's owner."""
    return {"utime": attempt(os.utime, path, (1, 1)), "chmod": attempt(os.chmod, path, 0o640)}


def open_for_writing(paths):
    """Open existing files for writing and write nothing."""
    return {path: attempt(lambda path: os.close(os.open(path, os.O_WRONLY)), path) for path in paths}


def rewrite(path):
    """Write the current value of a kernel setting back to it."""
    try:
        with open(path, "rb") as file:
            value = file.read()
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, value)
        finally:
            os.close(fd)
    except OSError as error:
        return name_of(error)
    return "done"


def set_user_id(path):
    """Leave a file with the set-user-ID bit, with every call that can set the bit."""
    made = attempt(_create, path, "")
    chmod, fchmod = attempt(os.chmod, path, 0o4755), attempt(_fchmod, path)
    return {"made": made, "chmod": chmod, "fchmod": fchmod, "open": attempt(_open, path)}


def _fchmod(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fchmod(fd, 0o4755)
    finally:
        os.close(fd)


def _open(path):
    os.close(os.open(path + "-new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o4755))


def make_immutable(path):
    """Make a file immutable, so not even root can remove it, and then make it mutable again."""
    return attempt(_make_immutable, path)


def _make_immutable(path):
    flags = bytearray(8)
    with open(path, "w") as file:
        fcntl.ioctl(file, _GET_FLAGS, flags)
        fcntl.ioctl(file, _SET_FLAGS, bytes([flags[0] | _IMMUTABLE]) + bytes(flags[1:]))
        fcntl.ioctl(file, _SET_FLAGS, bytes(flags))


def device_node(path, major, minor):
    """Make a block device and open it."""
    made = attempt(os.mknod, path, 0o600 | stat.S_IFBLK, os.makedev(major, minor))
    return {"mknod": made, "open": attempt(_open_and_read, path)}


def devices(allowed):
    """Return the names in /dev that are not allowed."""
    try:
        return {"others": sorted(set(os.listdir("/dev")) - set(allowed))}
    except OSError as error:
        return {"others": [], "error": name_of(error)}


def inherited(directory, file, socket, name, text, token):
    """Use descriptors that the frontend left open: a directory, a file that is open for reading, and a socket."""
    found, reopened = [], "EBADF"
    try:
        with open(os.open(name, os.O_RDONLY, dir_fd=directory), "rb") as opened:
            found += canaries(opened.read())
    except OSError as error:
        reopened = name_of(error)
    for descriptor in (f"/proc/self/fd/{file}", f"/dev/fd/{file}"):
        reopened = attempt(_append, descriptor, text)
    return {"found": found, "reopened": reopened, "sent": attempt(_send, socket, token)}


def _send(descriptor, token):
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        sock.send(token.encode())


def descriptors():
    """Return the open descriptors besides 0, 1 and 2."""
    listing = os.open("/proc/self/fd", os.O_RDONLY)
    numbers = {int(name) for name in os.listdir(listing)}
    others = {number for number in numbers - {0, 1, 2, listing} if attempt(os.fstat, number) == "done"}
    os.close(listing)
    return {"others": {number: os.readlink(f"/proc/self/fd/{number}") for number in sorted(others)}}


def chores(directories):
    """Do what builds may do to files of any owner: append, remove, set times and modes, rename, create."""
    failed = []
    for top in directories:
        steps = {
            "append": (_append, f"{top}/append", "more"),
            "unlink": (os.unlink, f"{top}/unlink"),
            "utime": (os.utime, f"{top}/utime", (1, 1)),
            "chmod": (os.chmod, f"{top}/chmod", 0o640),
            "rename": (os.rename, f"{top}/rename", f"{top}/renamed"),
            "create": (_create, f"{top}/new/file", "new"),
            "link": (os.symlink, "file", f"{top}/new/link"),
        }
        failed += [(top, name, result) for name, step in steps.items() if (result := attempt(*step)) != "done"]
    return {"failed": failed}


PROBES = {
    function.__name__: function
    for function in (
        append,
        change_metadata,
        chores,
        create,
        descriptors,
        device_node,
        devices,
        environment,
        inherited,
        list_names,
        look_at,
        make_immutable,
        open_for_reading,
        open_for_writing,
        read,
        remove,
        replace,
        rewrite,
        search_path,
        set_user_id,
        standard_input,
    )
}
