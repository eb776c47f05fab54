"""What a machine runs: the root filesystem as an ext4 image, and the initramfs with the kernel's modules.

The root filesystem is unpacked from Debian's packages, without their scripts, so one of another architecture needs no
emulator. The package under test and its dependencies are installed in it.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.containers.engines import call
from support.kernels.packages import Archive

__all__ = ["LEDGER", "SUITE", "busybox", "initramfs", "kernel_of", "make_image", "make_root", "modules_of"]

PROJECT = Path(__file__).resolve().parents[3]
#: The suite that the root filesystem is from. Its C library runs on each kernel of the table.
SUITE = "trixie"
#: Bytes of the disk that a machine writes its results to.
LEDGER = 16 << 20
_PACKAGES = """
    base-files base-passwd bash coreutils dash findutils grep iproute2 kmod libc-bin mount passwd procps python3 sed
    tar util-linux
""".split()
_MODULES = "virtio_pci virtio_mmio virtio_blk ext4 overlay".split()
_USER = "builder:x:1000:1000::/home/builder:/bin/sh\n"
_ACCOUNTS = {"passwd": "root:x:0:0:root:/root:/bin/sh\n" + _USER, "group": "root:x:0:\nbuilder:x:1000:\n"}
_MERGED = ("bin", "lib", "lib64", "sbin")
# busybox is the same program under many names. Where a step fails, the kernel panics and the console says why.
_INIT = """#!/busybox sh
set -e
/busybox mkdir -p /proc /sys /dev /root
/busybox mount -t devtmpfs devtmpfs /dev || /busybox mdev -s
for module in $(/busybox cat /modules/order); do /busybox insmod /modules/$module; done
tries=0
until [ -b {disk} ]; do
    tries=$((tries + 1)); [ $tries -lt 100 ]; /busybox usleep 100000
done
/busybox mount -t ext4 {disk} /root
/busybox mount -t tmpfs -o mode=755 tmpfs /root/run
/busybox mkdir /root/run/guest
/busybox cp /guest.py /job.json /root/run/guest/
/busybox mount --move /dev /root/dev
/busybox ip link set lo up
exec /busybox switch_root /root /usr/bin/python3 -I /run/guest/guest.py
"""


def make_root(directory: Path, archive: Archive) -> None:
    """Unpack the root filesystem and install this package in it."""
    directory.mkdir(mode=0o755)
    for name in _MERGED:
        (directory / "usr" / name).mkdir(parents=True)
        (directory / name).symlink_to(f"usr/{name}")
    for package in archive.fetch(_PACKAGES):
        _unpack(package, directory)
    for name in ("dev", "proc", "run", "sys", "tmp", "root", "home/builder", "etc"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for name, text in _ACCOUNTS.items():
        (directory / "etc" / name).write_text(text)
    (directory / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    if not os.path.lexists(directory / "usr/bin/sh"):
        (directory / "usr/bin/sh").symlink_to("dash")
    os.chown(directory / "home/builder", 1000, 1000)
    (directory / "tmp").chmod(0o1777)
    _install(directory)


def _unpack(package: Path, directory: Path) -> None:
    # dpkg-deb --extract replaces links to directories, and /lib is one.
    extract = ["tar", "--extract", "--keep-directory-symlink", "--directory", directory]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as source:
        done = subprocess.run(extract, stdin=source.stdout)
    if done.returncode != 0 or source.returncode != 0:
        raise RuntimeError(f"{package.name} cannot be unpacked")


def _install(directory: Path) -> None:
    """Install this package and its dependencies, which are pure Python, where Debian's Python finds local ones."""
    version = next((directory / "usr/lib").glob("python3.*")).name
    target = directory / "usr/local/lib" / version / "dist-packages"
    copy = directory.parent / "project"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "README.rst", "LICENSE", "MANIFEST.in"):
        shutil.copy(PROJECT / name, copy)
    shutil.copytree(PROJECT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile")
    call([*pip, "--target", target, copy])


def busybox(directory: Path, archive: Archive) -> Path:
    """Unpack a busybox that needs no library, and return its file."""
    directory.mkdir()
    for package in archive.fetch(["busybox-static"], keep="busybox-static"):
        _unpack(package, directory)
    return next(path for path in directory.rglob("bin/busybox") if path.is_file())


def make_image(path: Path, root: Path) -> None:
    """Write an ext4 image of a directory, mke2fs(8)."""
    with path.open("wb") as file:
        file.truncate(1 << 30)
    call(["mke2fs", "-q", "-t", "ext4", "-d", root, path])


def kernel_of(directory: Path, packages: Sequence[Path]) -> tuple[Path, str]:
    """Unpack a kernel's packages and return its file and its release.

    :raises RuntimeError: they contain no kernel
    """
    directory.mkdir()
    for package in packages:
        _unpack(package, directory)
    for path in sorted(directory.glob("boot/vmlinuz-*")):
        return path, path.name.partition("-")[2]
    raise RuntimeError(f"no kernel is in {', '.join(package.name for package in packages)}")


def initramfs(path: Path, *, disk: str, busybox: Path, job: Mapping[str, Any], modules: Sequence[Path] = ()) -> None:
    """Write an initramfs that loads modules, mounts the disk and starts the guest's program there."""
    content = path.with_suffix(".content")
    (content / "modules").mkdir(parents=True)
    order = [_plain_module(module, content / "modules") for module in modules]
    (content / "modules" / "order").write_text("\n".join(order) + "\n")
    init = content / "init"
    init.write_text(_INIT.format(disk=disk))
    init.chmod(0o755)
    shutil.copy(busybox, content / "busybox")
    shutil.copy(Path(__file__).with_name("guest.py"), content / "guest.py")
    (content / "job.json").write_text(json.dumps(job))
    names = "\n".join(str(file.relative_to(content)) for file in sorted(content.rglob("*")))
    with path.open("wb") as file:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), stdout=file, cwd=content, check=True
        )
    shutil.rmtree(content)


def modules_of(root: Path, release: str) -> list[Path]:
    """Return the modules that the machine needs, in the order in which they have to be loaded, modprobe(8)."""
    base = root if (root / "lib" / "modules").is_dir() else root / "usr"
    call(["depmod", "--basedir", base, release])
    found: dict[Path, None] = {}
    for name in _MODULES:
        command = ["modprobe", "--show-depends", "--dirname", base, "--set-version", release, name]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = (line.split() for line in done.stdout.splitlines())  # a module that is built in, or not there: no line
        found.update((Path(words[1]), None) for words in lines if words[0] == "insmod")
    return list(found)


def _plain_module(module: Path, directory: Path) -> str:
    """Copy a module without compression, which insmod of busybox does not know, and return its name."""
    content = module.read_bytes()
    if module.suffix == ".xz":
        content = lzma.decompress(content)
    elif module.suffix == ".zst":
        content = subprocess.run(["zstd", "-dc", module], capture_output=True, check=True).stdout
    name = module.name.partition(".ko")[0] + ".ko"
    (directory / name).write_bytes(content)
    return name
