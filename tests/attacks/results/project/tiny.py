"""The backend: each hook does what it should, and then what an attack of ``attacks.py`` adds to it.

The config settings say which, and with what: ``{"attack": NAME, "arguments": {...}}``. An empty name is none.
"""

import base64
import hashlib
import io
import os
import tarfile
import zipfile

import attacks

INFO, WHEEL, SDIST = attacks.INFO, "example-1.0-py3-none-any.whl", "example-1.0.tar.gz"
METADATA = "Metadata-Version: 2.1\nName: example\nVersion: 1.0\n"


class Hook:
    """What a hook is about to hand over, for an attack to change.

    :ivar returned: what it returns
    :ivar directory: where it leaves its result; of prepared metadata that result itself
    :ivar path: the artefact
    :ivar archive: of an sdist, while members can be added
    """

    def __init__(self, returned, directory="", path="", archive=None):
        self.returned = returned
        self.directory = directory
        self.path = path
        self.archive = archive


def _attack(config_settings, hook):
    if config_settings["attack"]:
        getattr(attacks, config_settings["attack"])(hook, **config_settings["arguments"])
    return hook.returned


def get_requires_for_build_wheel(config_settings=None):
    return _attack(config_settings, Hook([]))


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    directory = os.path.join(metadata_directory, INFO)
    os.mkdir(directory)
    with open(os.path.join(directory, "METADATA"), "w") as file:
        file.write(METADATA)
    return _attack(config_settings, Hook(INFO, directory))


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    path = os.path.join(wheel_directory, WHEEL)
    files = {"example.py": "", INFO + "/METADATA": METADATA, INFO + "/WHEEL": "Wheel-Version: 1.0\n"}
    record = ""
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(text)}\n"
            wheel.writestr(name, text)
        wheel.writestr(INFO + "/RECORD", record + INFO + "/RECORD,,\n")
    return _attack(config_settings, Hook(WHEEL, wheel_directory, path))


def build_sdist(sdist_directory, config_settings=None):
    path = os.path.join(sdist_directory, SDIST)
    with tarfile.open(path, "w:gz") as sdist:
        member = tarfile.TarInfo("example-1.0/PKG-INFO")
        member.size = len(METADATA)
        sdist.addfile(member, io.BytesIO(METADATA.encode()))
        return _attack(config_settings, Hook(SDIST, sdist_directory, path, sdist))
