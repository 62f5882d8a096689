"""A whole machine: qemu with a Debian kernel, cgroup v2, real cloud-init, the agent by packer/install.sh. Needs root.

Its metadata service is the simulator, at 169.254.169.254; what listens on this host's loopback it finds at HOST. The host's own
Python stands for one of the distribution's where that has none that is new enough.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.systemd.nspawn import REPOSITORY, bring, done, root_tar, with_packages

HOST = "169.254.2.2"
PACKAGES = (
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "cloud-init",
    "libpam-systemd",
    "iproute2",
    "netplan.io",
    "systemd-resolved",
)
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "mkfs.ext4": "e2fsprogs"}
LOCK = REPOSITORY / "packer" / "requirements.lock"
MEMORY = 1024
"""MiB."""

PIPE = """
import os, selectors, socket, sys
wire, waits = socket.create_connection(("127.0.0.1", int(sys.argv[1]))), selectors.DefaultSelector()
waits.register(0, selectors.EVENT_READ)
waits.register(wire, selectors.EVENT_READ)
while True:
    for key, _ in waits.select():
        body = os.read(0, 65536) if key.fileobj == 0 else wire.recv(65536)
        if not body:
            sys.exit()
        wire.sendall(body) if key.fileobj == 0 else os.write(1, body)
"""


def machine_tar() -> Path:
    """A root file system with a kernel and cloud-init; it takes some minutes where nobody has made it yet."""
    plain = root_tar()
    bring(TOOLS)
    return with_packages(plain, "vm", PACKAGES)


def wheels() -> Path:
    """Every requirement, by its hash; fetched once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runctl-tests"
    folder = cache / f"wheels-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        making = f"{folder}.{os.getpid()}"
        done(sys.executable, "-m", "pip", "download", "-q", "--require-hashes", "--no-deps", "-r", str(LOCK), "-d", making)
        Path(making).rename(folder)
    return folder


def install(root: Path, environ: Mapping[str, str]) -> None:
    """By install.sh, offline, as in an image's build. `environ` is where its AWS is."""
    given = root / "srv" / "given"
    given.mkdir()
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(given / "dist"), folder=REPOSITORY)
    for name in ("packer", "systemd"):
        shutil.copytree(REPOSITORY / name, given / name)
    shutil.copytree(wheels(), given / "wheels")
    if not sys.base_prefix.startswith("/usr"):
        shutil.copytree(
            sys.base_prefix, root / sys.base_prefix.lstrip("/"), symlinks=True, ignore=shutil.ignore_patterns("test*")
        )
    (wheel,) = (given / "dist").iterdir()
    argv = ["/srv/given/packer/install.sh", "--wheel", f"/srv/given/dist/{wheel.name}", "--wheels", "/srv/given/wheels"]
    path = f"PATH={sys.base_prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    done("chroot", str(root), "env", path, *argv, "--login-user", "trainer")
    lines = "".join(f'Environment="{name}={value}"\n' for name, value in environ.items())
    own = root / "etc/systemd/system/runctl-agent.service.d/aws.conf"
    own.write_text(f"[Service]\n{lines}")


class Vm:
    """One machine and its disk; every `booted` is a boot of it."""

    def __init__(self, folder: Path, root: Path, imds_port: int) -> None:
        self.console = folder / "console"
        self._qmp = folder / "qmp"
        self._disk = folder / "disk.img"
        self._kernel = self._boot_file(folder, root, "vmlinuz")
        self._initrd = self._boot_file(folder, root, "initrd.img")
        self._pipe = folder / "pipe.py"
        self._pipe.write_text(PIPE)
        self._port = imds_port
        self._process: subprocess.Popen[bytes] | None = None
        with self._disk.open("wb") as disk:
            disk.truncate(5 * 2**30)
        environ = {**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"}
        subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(root), str(self._disk)], check=True, env=environ)

    @contextmanager
    def booted(self) -> Iterator[None]:
        """Until it is off, or lost at the end of this context."""
        own = f"ec2{uuid.uuid4().hex[3:8]}{str(uuid.uuid4())[8:]}"
        forward = f"guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} {self._pipe} {self._port}"
        argv = [
            "qemu-system-x86_64",
            "-accel",
            "tcg,thread=multi",
            "-m",
            str(MEMORY),
            "-smp",
            "2",
            "-display",
            "none",
            "-no-reboot",
        ]
        argv += ["-serial", f"file:{self.console}", "-kernel", str(self._kernel), "-initrd", str(self._initrd)]
        argv += ["-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.journald.forward_to_console=1"]
        argv += ["-drive", f"file={self._disk},format=raw,if=virtio,cache=unsafe", "-qmp", f"unix:{self._qmp},server,nowait"]
        argv += ["-smbios", f"type=1,uuid={own},serial={own}"]  # by which cloud-init knows EC2
        argv += ["-netdev", f"user,id=n,net=169.254.0.0/16,{forward}", "-device", "virtio-net-pci,netdev=n"]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as self._process:
            try:
                yield
            finally:
                self._process.kill()

    @property
    def off(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def power_button(self) -> None:
        """By ACPI, as StopInstances and TerminateInstances press it."""
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(60)
            wire.connect(str(self._qmp))
            answers = wire.makefile("rb")
            answers.readline()
            for command in ("qmp_capabilities", "system_powerdown"):
                wire.sendall(json.dumps({"execute": command}).encode() + b"\n")
                while b'"return"' not in answers.readline():
                    pass  # an event came in between

    def until(self, what: Callable[[], object], seconds: float = 900.0) -> None:
        """The limit is a safety net and never the thing tested: an emulated machine is slow."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.told()[-6000:]
            assert not self.off or what(), f"it is off: {self.told()[-6000:]}"
            time.sleep(0.5)

    def told(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    @staticmethod
    def _boot_file(folder: Path, root: Path, name: str) -> Path:
        (found,) = (root / "boot").glob(f"{name}-*")
        return Path(shutil.copy(found, folder / name))
