"""A hostile in-tree backend: every hook carries out the attacks that the frontend's test describes, then does its work.

An attack is ``{"probe": NAME, "arguments": {...}}``. They come by ``config_settings``, and for the hook without those
from ``attacks.json`` in the source tree. What came of them goes to ``evidence.json`` there. That is material: what an
attack has achieved is judged by the test, from outside.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zipfile

import probes_files
import probes_kernel
import probes_processes
import probes_reach
import probes_resources

PROBES = {
    **probes_files.PROBES,
    **probes_kernel.PROBES,
    **probes_processes.PROBES,
    **probes_reach.PROBES,
    **probes_resources.PROBES,
}
METADATA = "Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n"


def get_requires_for_build_wheel(config_settings=None):
    return _attacked(config_settings, [])


def get_requires_for_build_sdist(config_settings=None):
    return _attacked(config_settings, [])


def get_requires_for_build_editable(config_settings=None):
    return _attacked(config_settings, [])


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    return _attacked(config_settings, _metadata(metadata_directory))


def prepare_metadata_for_build_editable(metadata_directory, config_settings=None):
    return _attacked(config_settings, _metadata(metadata_directory))


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _attacked(config_settings, _wheel(wheel_directory))


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _attacked(config_settings, _wheel(wheel_directory))


def build_sdist(sdist_directory, config_settings=None):
    return _attacked(config_settings, _sdist(sdist_directory))


def _attacked(config_settings, result):
    attacks = json.loads(config_settings["attacks"]) if config_settings else _described()
    evidence = {name: _attempt(**attack) for name, attack in attacks.items()}
    try:
        with open("evidence.json", "w") as file:
            json.dump(evidence, file)
    except OSError:
        pass  # where the policy makes the source tree read-only, the test looks at what changed and at nothing else
    return result


def _described():
    with open("attacks.json") as file:
        return json.load(file)


def _attempt(probe, arguments):
    try:
        return PROBES[probe](**arguments)
    except BaseException as error:
        return {"crashed": f"{type(error).__name__}: {error}"}


def _metadata(directory):
    os.mkdir(os.path.join(directory, "hostile-1.0.dist-info"))
    with open(os.path.join(directory, "hostile-1.0.dist-info", "METADATA"), "w") as file:
        file.write(METADATA)
    return "hostile-1.0.dist-info"


def _wheel(directory):
    with zipfile.ZipFile(os.path.join(directory, "hostile-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("hostile-1.0.dist-info/METADATA", METADATA)
    return "hostile-1.0-py3-none-any.whl"


def _sdist(directory):
    with tarfile.open(os.path.join(directory, "hostile-1.0.tar.gz"), "w:gz") as sdist:
        member = tarfile.TarInfo("hostile-1.0/PKG-INFO")
        member.size = len(METADATA)
        sdist.addfile(member, io.BytesIO(METADATA.encode()))
    return "hostile-1.0.tar.gz"


# pyproject_hooks works out ``_supported_features`` by importing the backend and looking for a name: no hook is called.
if sys.argv[1:2] == ["_supported_features"]:
    _attacked(None, None)
