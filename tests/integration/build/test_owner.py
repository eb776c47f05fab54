"""An archive that a hook makes names the owner that it names without a sandbox."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.projects import caller, facts, plain_caller, write_project

pytestmark = pytest.mark.usefixtures("sandbox")

OWNER = """
import getpass
member = tarfile.open(fileobj=io.BytesIO(), mode="w").gettarinfo(__file__)
open("made", "w").close()
made = tarfile.open(fileobj=io.BytesIO(), mode="w").gettarinfo("made")
os.unlink("made")
try:
    user = getpass.getuser()
except (KeyError, OSError):  # an account without a name; which error it is depends on the version of Python
    user = ""
tell(names=[member.uname, member.gname, made.uname, made.gname, user],
     numbers=[member.uid, member.gid, made.uid, made.gid, os.getuid(), os.getgid()])
"""


def test_an_archive_names_the_same_owner(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=OWNER)
    if (project / "backend.py").stat().st_gid != os.getegid():
        pytest.skip("the temporary directory hands another group down")
    plain_caller(project).get_requires_for_build_wheel()
    bare = facts(project)[0]
    caller(project).get_requires_for_build_wheel()
    inside = facts(project)[0]
    user, group = bare["names"][:2]
    if not user or not group:
        pytest.skip("this user has no name")
    assert inside["names"][:4] == [user, group, user, group]
    if os.geteuid() != 0:  # root's hooks have another uid, whose number they see
        assert inside["numbers"] == bare["numbers"]
    assert inside["names"][4] == user
