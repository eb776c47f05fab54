"""The attacks: each is given what the hook is about to hand over, see ``tiny.py``, and changes it."""

import atexit
import json
import os
import socket
import sys
import tarfile
import zipfile

INFO = "example-1.0.dist-info"


def _answer(action):
    """Have the hook script's own end replaced: it writes output.json with json.dump, last of all."""
    path = os.path.join(sys.argv[2], "output.json")

    def act():
        if os.path.lexists(path):
            os.unlink(path)
        action(path)

    atexit.register(act)


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)


# output.json


def answer_is_a_link(hook, target):
    _answer(lambda path: os.symlink(target, path))


def answer_is_a_fifo(hook):
    _answer(os.mkfifo)


def answer_is_sparse(hook, size):
    def act(path):
        _write(path, b"")
        os.truncate(path, size)

    _answer(act)


def answer_is_a_directory(hook):
    _answer(os.mkdir)


def answer_is_missing(hook):
    _answer(lambda path: None)


def answer_is_a_list(hook):
    _answer(lambda path: _write(path, b"[1]"))


def answer_is_no_text(hook):
    _answer(lambda path: _write(path, b"\xff"))


def answer_is_nested(hook):
    _answer(lambda path: _write(path, b"[" * 200000))


def answer_is_a_long_number(hook):
    _answer(lambda path: _write(path, b'{"return_val": ' + b"9" * 5000 + b"}"))


def answer_has(hook, **keys):
    """Answer as the hook script does, but for some keys."""
    text = json.dumps({"return_val": hook.returned, "warnings": [], **keys})
    _answer(lambda path: _write(path, text.encode()))


# Names and requirements


def returns(hook, value):
    hook.returned = value


def is_of_another_project(hook):
    name = "requests" + hook.returned[7:]
    if hook.path:
        os.rename(hook.path, os.path.join(hook.directory, name))
    else:
        os.rename(hook.directory, hook.directory.replace(INFO, name))
    hook.returned = name


def is_another_version(hook):
    hook.returned = hook.returned.replace("1.0", "9.9")
    os.rename(hook.path, os.path.join(hook.directory, hook.returned))


def renames_the_project(hook):
    _write("pyproject.toml", b'[project]\nname = "requests"\n')


def renames_the_project_for_itself(hook):
    renames_the_project(hook)
    is_of_another_project(hook)


def renames_the_project_and_raises(hook):
    renames_the_project(hook)
    raise SystemExit(1)


def renames_the_project_and_exits(hook):
    renames_the_project(hook)
    os._exit(3)


def renames_the_project_and_is_killed(hook):
    renames_the_project(hook)
    os.kill(os.getpid(), 9)


def renames_the_project_and_is_refused(hook):
    renames_the_project(hook)
    hook.returned = ["-r x"]


# Artefacts


def artefact_is_a_link(hook, secret):
    os.unlink(hook.path)
    os.symlink(secret, hook.path)


def artefact_is_a_fifo(hook):
    os.unlink(hook.path)
    os.mkfifo(hook.path)


def artefact_is_a_socket(hook):
    os.unlink(hook.path)
    os.chdir(hook.directory)
    socket.socket(socket.AF_UNIX).bind(hook.returned)


def artefact_is_a_directory(hook):
    os.unlink(hook.path)
    os.mkdir(hook.path)


def artefact_has_another_name(hook):
    os.link(hook.path, hook.path + ".again")


def artefact_has_attributes(hook):
    os.chmod(hook.path, 0o777)
    try:
        os.setxattr(hook.path, "user.evil", b"x")
    except OSError:
        pass


def leaves_more_artefacts(hook):
    for name in ("a.pth", "example-2.0-py3-none-any.whl", ".hidden"):
        _write(os.path.join(hook.directory, name), b"")


def goes_on_writing(hook):
    """Leave a process that writes to the artefact for ever, and its number in the tree."""
    os.unlink(hook.path)
    _write(hook.path, b"good" * 100)
    if os.fork() == 0:
        os.close(1)
        os.close(2)
        _write("pid", b"%d" % os.getpid())
        while True:
            with open(hook.path, "r+b") as file:
                file.write(os.urandom(8))
    while not os.path.exists("pid"):
        pass


# Prepared metadata


def metadata_are_a_link(hook, secret):
    os.unlink(hook.directory + "/METADATA")
    os.symlink(secret, hook.directory + "/METADATA")


def metadata_have_a_fifo(hook):
    os.mkfifo(hook.directory + "/fifo")


def metadata_are_endless(hook):
    os.truncate(hook.directory + "/METADATA", 5 << 30)


def metadata_steer_a_terminal(hook):
    os.mkdir(hook.directory + "/\x1b[2J")


def metadata_are_of_another_project(hook):
    _write(hook.directory + "/METADATA", b"Name: other")


def metadata_are_missing(hook):
    os.unlink(hook.directory + "/METADATA")


# Archives


def _add_to_the_wheel(hook, name):
    with zipfile.ZipFile(hook.path, "a") as wheel:
        wheel.writestr(name, "x")


def wheel_leads_elsewhere(hook):
    _add_to_the_wheel(hook, "../evil.py")


def wheel_has_what_is_not_recorded(hook):
    _add_to_the_wheel(hook, "unrecorded.py")


def wheel_goes_on_after_its_end(hook):
    with open(hook.path, "ab") as file:
        file.write(b"x")


def wheel_is_a_script(hook):
    with open(hook.path, "rb") as file:
        data = file.read()
    _write(hook.path, b"#!/bin/sh\n" + data)


def wheel_is_none(hook):
    _write(hook.path, b"no wheel at all")


def sdist_has_a_link_out(hook):
    member = tarfile.TarInfo("example-1.0/l")
    member.type = tarfile.SYMTYPE
    member.linkname = "/etc/passwd"
    hook.archive.addfile(member)


def sdist_leads_elsewhere(hook):
    hook.archive.addfile(tarfile.TarInfo("../evil"))


def sdist_has_a_fifo(hook):
    member = tarfile.TarInfo("example-1.0/f")
    member.type = tarfile.FIFOTYPE
    hook.archive.addfile(member)


def sdist_sets_the_user_id(hook):
    member = tarfile.TarInfo("example-1.0/s")
    member.mode = 0o4755
    hook.archive.addfile(member)


# What is cleaned up


def leaves_links(hook, victim):
    """Leave links and closed directories wherever something is removed later."""
    os.makedirs("/tmp/a/b")
    for top in ("/tmp/a", os.path.dirname(sys.argv[2]), sys.argv[2], os.path.expanduser("~")):
        try:
            os.symlink(victim, top + "/link")
            os.mkdir(top + "/closed")
            os.symlink(victim, top + "/closed/link")
            os.chmod(top + "/closed", 0)
        except OSError:
            pass
