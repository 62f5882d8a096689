"""The machine image of these tests: Debian with cloud-init, and the agent by packer/install.sh, run inside it. Made once a run.

What makes an EC2 instance of it is left to its boots.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tests.machine.disk import overlay
from tests.packer.machine.versions import another
from tests.systemd.nspawn import REPOSITORY, Machine, bring, done, own_python, root_tar, running, unpacked, with_packages
from tests.vm.vm import wheels

PACKAGES = ("cloud-init", "iproute2")
TOOLS = {"nft": "nftables", "ip": "iproute2", "tc": "iproute2"}
GIVEN = "/srv/run"
"""Where a machine has what install.sh is given."""

NEXT = "2" * 12
"""The commit of the next version."""
EC2 = "etc/ec2-uuid"
"""By which cloud-init knows EC2 here; a container has no DMI of its own, and nothing can be added to /sys."""

CLOUD_INIT = """
# One source named is one that is not searched for.
datasource_list: [Ec2]
# Its interface is there already, with its address.
network: {config: disabled}
# By its address: nobody here resolves names.
datasource: {Ec2: {metadata_urls: ["http://169.254.169.254"]}}
users: []
locale: false
ssh_genkeytypes: []
"""


@dataclass(frozen=True)
class Image:
    """`layers`: the topmost first. `given`: what install.sh takes, its wheels and all. `seconds` that it took."""

    layers: list[Path]
    given: Path
    seconds: float


def install(machine: Machine, given: Path, folder: str) -> str:
    """The wheel in `folder`: "dist", or "next", which is of another commit."""
    (wheel,) = os.listdir(given / folder)
    path = f"PATH={''.join(f'{folder}/bin:' for folder in own_python())}/usr/sbin:/usr/bin:/sbin:/bin"
    argv = [f"{GIVEN}/packer/install.sh", "--wheel", f"{GIVEN}/{folder}/{wheel}", "--wheels", f"{GIVEN}/wheels"]
    return machine.run("env", path, "bash", *argv, "--login-user", "trainer")


def mounts() -> list[str]:
    """nspawn's options for whatever runs the agent."""
    return ["--resolv-conf=off", *(f"--bind-ro={path}" for path in own_python())]


@contextmanager
def image(folder: Path) -> Iterator[Image]:
    """The one image of all users of `folder`; it is gone with the last of them."""
    folder.mkdir(parents=True, exist_ok=True)
    lease = os.open(folder / "lease", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    made = folder / "image"
    try:
        with FileLock(folder / "make.lock"):
            fcntl.flock(lease, fcntl.LOCK_SH)
            if not (made / "seconds").exists():
                made.mkdir(exist_ok=True)
                # On a disk, to flush it at every unmounting and to remove it takes longer than all the rest.
                done("mount", "-t", "tmpfs", "-o", "size=2g,mode=755", "runctl", str(made))
                _make(made)
        yield Image([made / "installed" / "upper", made / "base"], made / "given", float((made / "seconds").read_text()))
    finally:
        with suppress(BlockingIOError):
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is another's as long as that one has its lease
            done("umount", "--lazy", str(made))
        os.close(lease)


def _make(made: Path) -> None:
    bring(TOOLS)
    given = _given(made / "given")
    base = unpacked(with_packages(root_tar(), "machine", PACKAGES), made / "base")
    (base / "etc/cloud/cloud.cfg.d/90-machine.cfg").write_text(CLOUD_INIT)
    (base / "etc/resolv.conf").write_text("")
    for client in ("dhclient", "dhcpcd", "udhcpc"):
        (base / "usr/sbin" / client).unlink(missing_ok=True)  # nobody would answer it
    source = base / "usr/lib/python3/dist-packages/cloudinit/sources/DataSourceEc2.py"
    asked = source.read_text()
    assert "/sys/hypervisor/uuid" in asked
    source.write_text(asked.replace("/sys/hypervisor/uuid", f"/{EC2}"))
    for path in own_python():
        for above in reversed((base / path.lstrip("/")).relative_to(base).parents):
            (base / above).mkdir(exist_ok=True)
            (base / above).chmod(0o755)  # what the training's user runs is there, too
    disabled = base / "etc/cloud/cloud-init.disabled"
    disabled.touch()  # here it would wait two minutes for a metadata service
    with overlay([base], made / "installed", made / "root") as root, running(root, given, made / "console", *mounts()) as machine:
        machine.until(lambda: machine.run("systemctl", "is-system-running", check=False) in ("running", "degraded"))
        began = time.monotonic()
        install(machine, given, "dist")
        seconds = time.monotonic() - began
        machine.run("bash", f"{GIVEN}/packer/install.sh", "--clean")
        machine.run("systemctl", "poweroff", check=False)
        machine.until(lambda: machine.gone)
    disabled.unlink()
    (made / "seconds").write_text(str(seconds))


def _given(given: Path) -> Path:
    given.mkdir()
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(given / "dist"), folder=REPOSITORY)
    for name in ("packer", "systemd"):
        shutil.copytree(REPOSITORY / name, given / name)
    shutil.copytree(wheels(), given / "wheels")
    (wheel,) = (given / "dist").iterdir()
    another(wheel, given / "next", NEXT)
    return given
