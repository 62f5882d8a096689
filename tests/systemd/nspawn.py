"""A real systemd: a machine in a container of its own (systemd-nspawn), which sees this repository and its Python. Needs root.

Its root file system is the host's own release, made once by debootstrap and kept as a tar, so that the interpreter and the
packages of the virtual environment run in it as they are. The network is the host's.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3", "ca-certificates", "bash")
TOOLS = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}


def root_tar() -> Path:
    """The root file system; it takes a minute or two where nobody has made it yet. Raises AssertionError, with the reason."""
    assert os.geteuid() == 0, "these tests boot machines: run `make systemd` as root"
    bring(TOOLS)
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suite = release.get("VERSION_CODENAME", "").strip('"')
    assert suite, "debootstrap makes Debian and Ubuntu only, and this is neither"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runctl-tests"
    tar = cache / f"systemd-{suite}.tar"
    if not tar.exists():
        cache.mkdir(parents=True, exist_ok=True)
        root = cache / f"making-{os.getpid()}"
        try:
            done("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(root))
            done("chroot", str(root), "useradd", "--create-home", "--uid", "4711", "--shell", "/bin/bash", "trainer")
            done("tar", "-C", str(root), "-cf", f"{tar}.{os.getpid()}", ".")
            Path(f"{tar}.{os.getpid()}").rename(tar)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    return tar


def bring(tools: Mapping[str, str]) -> None:
    """Have these tools, each from its package. Raises AssertionError, with the reason."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = sorted({package for tool, package in tools.items() if shutil.which(tool, path=path) is None})
    if missing:
        assert shutil.which("apt-get"), f"{', '.join(missing)} are missing, and there is no apt-get to install them"
        done("apt-get", "-q", "update")
        done("apt-get", "-q", "install", "-y", "--no-install-recommends", *missing)


def with_packages(plain: Path, kind: str, packages: tuple[str, ...]) -> Path:
    """The root file system `plain` with more in it, kept as `kind`-SUITE.tar beside it."""
    tar = plain.with_name(plain.name.replace("systemd-", f"{kind}-"))
    if not tar.exists():
        making = plain.parent / f"making-{kind}-{os.getpid()}"
        try:
            root = unpacked(plain, making)
            install = "apt-get -q update && apt-get -q install -y --no-install-recommends $0 $*"
            script = f"mount -t proc proc /proc; {install}; code=$?; umount /proc; exit $code"
            done("chroot", str(root), "sh", "-c", script, *packages)
            done("chroot", str(root), "apt-get", "clean")
            done("tar", "-C", str(root), "-cf", f"{tar}.{os.getpid()}", ".")
            Path(f"{tar}.{os.getpid()}").rename(tar)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return tar


def unpacked(tar: Path, root: Path) -> Path:
    root.mkdir()
    done("tar", "-C", str(root), "-xf", str(tar))
    return root


class Machine:
    """One machine. `shared` is the host's folder that it has as /srv/run."""

    def __init__(self, leader: int, shared: Path, console: Path) -> None:
        self.leader = leader
        self.shared = shared
        self.console = console

    def run(self, *argv: str, check: bool = True) -> str:
        """A command in it, as root; what it prints."""
        whole = ["nsenter", "-t", str(self.leader), "-a", *argv]
        done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=240, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}\n{self.told()}"
        return done.stdout.strip()

    def file(self, path: str) -> Path:
        """A file of it, as the host sees it."""
        return Path(f"/proc/{self.leader}/root{path}")

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def until(self, what: Callable[[], bool], seconds: float = 120.0) -> None:
        """The limit is a safety net and never the thing tested."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.told()
            time.sleep(0.1)

    def told(self) -> str:
        """What its journal says of us, also after its end."""
        argv = ["journalctl", "-D", str(self.console.with_name("journal")), "--no-pager", "-o", "short-precise"]
        lines = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout.splitlines()
        return "\n".join(line for line in lines if "runctl" in line)

    @property
    def gone(self) -> bool:
        return not Path(f"/proc/{self.leader}").exists()


@contextmanager
def machine(root: Path, shared: Path, console: Path, memory: int = 0) -> Iterator[Machine]:
    """Booted; at the end it is lost. `memory`: bytes that all of it may have; 0: no limit."""
    binds = sorted({str(REPOSITORY), sys.prefix, *own_python()})
    options = ["--volatile=overlay", *(f"--bind-ro={path}" for path in binds), f"--bind-ro={sys.prefix}:/opt/runctl"]
    with running(root, shared, console, *options, memory=memory) as found:
        settled = ("running", "degraded")
        found.until(lambda: found.run("systemctl", "is-system-running", check=False) in settled)
        yield found


def own_python() -> list[str]:
    """The folder of this interpreter, where a machine of the same release would not have it."""
    return [] if sys.base_prefix.startswith("/usr") else [sys.base_prefix]


@contextmanager
def running(root: Path, shared: Path, console: Path, *options: str, memory: int = 0) -> Iterator[Machine]:
    """Its pid 1 has begun; at the end it is lost. `options` are nspawn's; its journal lies beside `console`."""
    journal = console.with_name("journal")
    journal.mkdir(exist_ok=True)
    argv = ["systemd-nspawn", "-q", "-D", str(root), "-M", f"runctl-{uuid.uuid4().hex[:8]}", "--boot", "--register=no"]
    argv += ["--keep-unit", "--console=read-only", f"--bind={shared}:/srv/run", f"--bind={journal}:/var/log/journal", *options]
    with own_cgroups(memory) as cgroups:
        joined = "".join(f"echo $$ > {path}/cgroup.procs && " for path in cgroups)
        with console.open("ab") as out:
            argv = ["sh", "-c", f'{joined}exec "$@"', "sh", *argv]
            nspawn = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            leader = _leader(nspawn, console)
            try:
                yield Machine(leader, shared, console)
            finally:
                with suppress(ProcessLookupError):
                    os.kill(leader, signal.SIGKILL)  # nspawn's own end would leave it running
        finally:
            nspawn.wait(60)


@contextmanager
def own_cgroups(memory: int) -> Iterator[list[Path]]:
    """Folders of their own in the hierarchies, v1, v2 or both: two machines in one would see each other's units.

    `memory`: bytes for all of the machine; 0: no limit of its own.
    """
    mount, name = Path("/sys/fs/cgroup"), f"runctl-{uuid.uuid4().hex[:8]}"
    roots = [path for path in (mount, mount / "unified", mount / "systemd", mount / "memory") if (path / "cgroup.procs").exists()]
    made = [path / name for path in roots]
    for path in made:
        path.mkdir()
        for limit in ("memory.limit_in_bytes", "memory.max"):
            if memory and (path / limit).exists():
                (path / limit).write_text(str(memory))
    try:
        yield made
    finally:
        for path in made:
            for below in sorted((found for found in path.rglob("*") if found.is_dir()), reverse=True):
                below.rmdir()
            path.rmdir()


def _leader(nspawn: subprocess.Popen[bytes], console: Path) -> int:
    """Its pid 1, by its number here."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    end = time.monotonic() + 60
    while True:
        assert nspawn.poll() is None, console.read_text(errors="replace")
        assert time.monotonic() < end, console.read_text(errors="replace")
        for pid in children.read_text().split():
            if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                return int(pid)
        time.sleep(0.05)


def install(machine: Machine, spec: str, environ: Mapping[str, str]) -> None:
    """The agent as packer/install.sh puts it there: its unit and its spec. `environ` is where its AWS is."""
    unit = machine.file("/etc/systemd/system/runctl-agent.service")
    shutil.copy(REPOSITORY / "systemd" / "runctl-agent.service", unit)
    own = unit.with_name("runctl-agent.service.d")
    own.mkdir(exist_ok=True)
    # A container's own boot id is a mount over the kernel's, which ProtectKernelTunables= covers; a machine has but one.
    given = {**environ, "RUNCTL_BOOT_ID": machine.run("cat", "/proc/sys/kernel/random/boot_id")}
    lines = "".join(f'Environment="{name}={value}"\n' for name, value in given.items())
    (own / "aws.conf").write_text(f"[Service]\n{lines}")
    machine.file("/etc/runctl").mkdir()
    machine.file("/etc/runctl/run.yaml").write_text(spec)
    machine.run("systemctl", "daemon-reload")


def done(*argv: str, folder: Path | None = None) -> None:
    """Run it to its good end, in `folder`. Raises AssertionError with what it said."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    ended = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=900, cwd=folder)
    assert ended.returncode == 0, f"{' '.join(argv)}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"
