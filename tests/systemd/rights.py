"""Run by the interpreter of the machine, in the agent's unit: what root is refused there. `rights.py ANSWERS`: a JSON file.

Each answer is `done`, or the name of the error.
"""

import ctypes
import errno
import json
import mmap
import os
import platform
import socket
import stat
import subprocess
import sys
from collections.abc import Callable

PTRACE_ATTACH = 16
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
ETH_P_ALL = 3
NUMBERS = {
    "x86_64": {"finit_module": 313, "bpf": 321, "keyctl": 250, "settimeofday": 164, "perf_event_open": 298},
    "aarch64": {"finit_module": 273, "bpf": 280, "keyctl": 219, "settimeofday": 170, "perf_event_open": 241},
}[platform.machine()]

library = ctypes.CDLL(None, use_errno=True)


def checked(answer: int) -> None:
    if answer == -1:
        raise OSError(ctypes.get_errno(), "refused")


def written(path: str) -> None:
    with open(path, "a"):
        pass


def made_and_removed(path: str) -> Callable[[], None]:
    def probe() -> None:
        os.mkdir(path)
        os.rmdir(path)

    return probe


def set_uid_bit() -> None:
    path = "/srv/run/set-uid"
    written(path)
    os.chmod(path, 0o4755)


def written_and_executed() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def traced() -> None:
    other = subprocess.Popen(["sleep", "600"])
    try:
        checked(library.ptrace(PTRACE_ATTACH, other.pid, None, None))
    finally:
        other.kill()


def call(name: str, *arguments: int) -> Callable[[], None]:
    return lambda: checked(library.syscall(NUMBERS[name], *arguments))


PROBES: dict[str, Callable[[], None]] = {
    "write /etc": lambda: written("/etc/of-the-agent"),
    "write /usr": lambda: written("/usr/bin/of-the-agent"),
    "write its own code": lambda: written("/opt/runctl/of-the-agent"),
    "write a sysctl": lambda: written("/proc/sys/kernel/hostname"),
    "write cgroups": made_and_removed("/sys/fs/cgroup/systemd/of-the-agent"),
    "change the mounts": lambda: checked(library.mount(b"none", b"/mnt", b"tmpfs", 0, None)),
    "a mount namespace": lambda: checked(library.unshare(CLONE_NEWNS)),
    "a user namespace": lambda: checked(library.unshare(CLONE_NEWUSER)),
    "load a module": call("finit_module", -1, 0, 0),
    "trace a process": traced,
    "read its environment": lambda: open("/proc/1/environ", "rb").close(),
    "a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close(),
    "a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)).close(),
    "a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "a low port": lambda: socket.socket().bind(("127.0.0.1", 7)),
    "the host's name": lambda: checked(library.sethostname(b"other", 5)),
    "the clock": call("settimeofday", 0, 0),
    "become another user": lambda: os.setuid(4711),
    "a set-uid file": set_uid_bit,
    "a device node": lambda: os.mknod(f"/srv/run/device-{os.getpid()}", 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
    "another root": lambda: os.chroot("/srv"),
    "bpf": call("bpf", 0, 0, 0),
    "performance counters": call("perf_event_open", 0, 0, -1, -1, 0),
    "keys of the kernel": call("keyctl", 0, -3, 1),
    "memory that is written and run": written_and_executed,
    "stand before others": lambda: checked(library.setpriority(0, 0, -5)),
}


def outcome(probe: Callable[[], None]) -> str:
    """In a process of its own: some of them change it."""
    said, says = os.pipe()
    if os.fork() == 0:
        try:
            probe()
            os.write(says, b"done")
        except OSError as error:
            os.write(says, errno.errorcode.get(error.errno or 0, "error").encode())
        os._exit(0)
    os.close(says)
    with open(said) as answer:
        return answer.read()


if __name__ == "__main__":
    answers = {name: outcome(probe) for name, probe in PROBES.items()}
    with open(sys.argv[1], "w") as file:
        json.dump(answers, file)
