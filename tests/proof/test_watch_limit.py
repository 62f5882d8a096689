"""The kernel gives the agent no inotify watch, or no instance: a real limit, of a user namespace of its own (user_namespaces(7)),
so that nobody else on this machine meets it. Later it is raised."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proof.mounts import done
from tests.proof.trained import Trained, Watch

MIB = 2**20
LIMITED = 'echo 0 > "/proc/sys/user/$0"; exec "$@"'


class Limited(Trained):
    """Its agent is root of a user namespace, in which `limit` is nothing at first."""

    limit: str

    def argv(self, command: str, *arguments: str) -> list[str]:
        own = super().argv(command, *arguments)
        return ["unshare", "--user", "--map-root-user", "sh", "-c", LIMITED, self.limit, *own]

    def raise_it(self, process: subprocess.Popen[bytes]) -> None:
        name = f"/proc/sys/user/{self.limit}"
        done("nsenter", "--user", f"--target={process.pid}", "sh", "-c", f"echo 1000 > {name}")


@pytest.mark.parametrize(
    ("limit", "mend"),
    [
        ("max_inotify_watches", "sysctl fs.inotify.max_user_watches"),
        ("max_inotify_instances", "sysctl fs.inotify.max_user_instances"),
    ],
)
def test_it_is_reached(tmp_path: Path, trained: Callable[..., Limited], limit: str, mend: str) -> None:
    proven = trained(tmp_path, tmp_path / "state", Limited)
    proven.limit = limit
    with proven.training(), proven.running() as process:
        watch = Watch()
        proven.save(1, MIB)
        told = proven.until_told(lambda told: mend in told["error"], process)
        assert "is read every few seconds instead of watched" in told["error"]
        proven.until_committed(process)
        first = str(watch)
        for step in (2, 3, 4):
            proven.save(step, MIB)
        watch = Watch()
        proven.until_committed(process)
        unseen = str(watch)
        assert mend in proven.told()["error"]
        proven.raise_it(process)
        watch = Watch()
        proven.until_quiet(process)
        quiet = str(watch)
        proven.save(5, MIB)
        proven.until_quiet(process)
    print(f"{limit} reached: {proven.prove()}; safe {first} and {unseen} after the saves, unseen ({told['error']})")
    print(f"quiet {quiet} after the limit was raised")
