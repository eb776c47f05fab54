"""A hostile in-tree backend. Every hook carries out the attacks that the frontend's test describes, then does its work.

An attack is ``{"probe": NAME, "arguments": {...}}``. Attacks come in ``config_settings``; the hook that has none reads
them from ``attacks.json`` in the source tree. The backend writes its evidence to ``evidence.json`` in the source tree,
or to standard output if it cannot write to the tree, and into the artefact. The evidence is only material: the suite
judges the outcome of an attack from outside.
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
import probes_sweep

PROBES = {
    **probes_files.PROBES,
    **probes_kernel.PROBES,
    **probes_processes.PROBES,
    **probes_reach.PROBES,
    **probes_resources.PROBES,
    **probes_sweep.PROBES,
}
METADATA = "Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n"


def get_requires_for_build_wheel(config_settings=None):
    return _attack(config_settings, [])


def get_requires_for_build_sdist(config_settings=None):
    return _attack(config_settings, [])


def get_requires_for_build_editable(config_settings=None):
    return _attack(config_settings, [])


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    return _attack(config_settings, _metadata(metadata_directory))


def prepare_metadata_for_build_editable(metadata_directory, config_settings=None):
    return _attack(config_settings, _metadata(metadata_directory))


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _attack(config_settings, lambda evidence: _wheel(wheel_directory, evidence))


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _attack(config_settings, lambda evidence: _wheel(wheel_directory, evidence))


def build_sdist(sdist_directory, config_settings=None):
    return _attack(config_settings, lambda evidence: _sdist(sdist_directory, evidence))


def _attack(config_settings, result):
    attacks = json.loads(config_settings["attacks"]) if config_settings else _attacks_from_tree()
    evidence = {name: _attempt(**attack) for name, attack in attacks.items()}
    try:
        with open("evidence.json", "w") as file:
            json.dump(evidence, file)
        kept = not (config_settings and config_settings.get("discarded"))
    except OSError:
        kept = False
    if not kept:
        print(f"\nisolated-hooks-evidence: {json.dumps(evidence)}", flush=True)
    return result(evidence) if callable(result) else result


def _attacks_from_tree():
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


def _wheel(directory, evidence):
    with zipfile.ZipFile(os.path.join(directory, "hostile-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("hostile-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("hostile/stolen.json", json.dumps(evidence))  # the user who installs the wheel passes this on
    return "hostile-1.0-py3-none-any.whl"


def _sdist(directory, evidence):
    with tarfile.open(os.path.join(directory, "hostile-1.0.tar.gz"), "w:gz") as sdist:
        for name, text in {"PKG-INFO": METADATA, "stolen.json": json.dumps(evidence)}.items():
            member = tarfile.TarInfo(f"hostile-1.0/{name}")
            member.size = len(text)
            sdist.addfile(member, io.BytesIO(text.encode()))
    return "hostile-1.0.tar.gz"


# For ``_supported_features``, pyproject_hooks imports the backend and looks for names. It calls no hook.
if sys.argv[1:2] == ["_supported_features"]:
    _attack(None, None)
