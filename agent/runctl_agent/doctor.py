"""`runctl-agent doctor`: what the agent needs, tried one by one; what fails is told with its mend and stops nothing else."""

from __future__ import annotations

import os
import tempfile
import zlib
from contextlib import closing
from functools import partial

from .contract.spec import Spec
from .contract.summary import size
from .disk.mounts import is_network, mount_of
from .disk.read import Reader
from .disk.roots import MORE_INSTANCES, MORE_WATCHES
from .disk.stage import Stager
from .disk.trial import try_to_hold
from .disk.watch import Inotify
from .errors import NotFoundError, StoreRefused, StoreUnavailable, StoreUnusable, WrongStateError
from .finding import Check, Finding, find
from .machine import Machine
from .records import Held, Instance
from .runtime import Runtime
from .store.lifecycle import Advice, examine
from .store.probe import prove_conditional_writes
from .store.retain import try_to_delete
from .store.s3 import S3Store
from .training.docker import Docker

MOST_SKEW = 300.0
"""Seconds between our clock and S3's. AWS refuses from 15 minutes on (RequestTimeTooSkewed), by then without warning."""

MAX_WATCHES = "/proc/sys/fs/inotify/max_user_watches"

HOLDS = {
    Held.REFLINK: "by reflink",
    Held.LINK: "by hard link; what is rewritten in place is copied",
    Held.COPY: "by copy: neither reflink nor hard link works there",
    Held.DESCRIPTOR: "by open descriptors, which end with the agent: no place for snapshots is on its file system",
}


class Doctor:
    """Leaves nothing in S3 but `probe.json`, and may run beside the agent."""

    def __init__(self, runtime: Runtime, spec: Spec, machine: Machine) -> None:
        self._runtime = runtime
        self._spec = spec
        self._machine = machine
        self._roots = [watched.path for watched in spec.checkpoints]
        self._instance: Instance | None = None
        self._made: S3Store | None = None

    def examine(self) -> list[Finding]:
        """Every check, in the order in which they are best mended."""
        try:
            return [
                find("identity", self._identity),
                *self._aws(),
                find("state directory", self._state_dir),
                *(find(f"space {path}", partial(self._space, path)) for path in self._file_systems()),
                find("inotify", self._inotify),
                *([find("docker", lambda: f"version {Docker().version()} answers")] if self._spec.training.image else []),
                *(finding for root in self._roots for finding in self._root(root)),
            ]
        finally:
            if self._made is not None:
                self._made.close()

    # --- who, and when ---

    def _identity(self) -> str:
        self._instance = self._machine.instance()
        if self._instance is None:
            return "outside EC2: no tags are posted"
        return f"{self._instance.id} ({self._instance.type} in {self._instance.zone})"

    def _clock(self) -> str:
        before = self._runtime.now()
        theirs = self._store().server_time()
        after = self._runtime.now()
        skew = max(before - theirs - 1, theirs - after, 0.0)  # a Date is cut to whole seconds
        if skew > MOST_SKEW:
            raise WrongStateError(
                f"the clock is {skew:.0f} s {'ahead of' if before > theirs else 'behind'} S3's",
                "S3 refuses what is signed at another time (SignatureDoesNotMatch, RequestTimeTooSkewed)",
                "set it: `timedatectl` says whether it is synchronized, `chronyc makestep` sets it",
            )
        return f"within {max(skew, 1):.0f} s of S3's"

    # --- S3 and EC2, by doing ---

    def _store(self) -> S3Store:
        if self._made is None:
            self._made = self._machine.store(self._instance)
        return self._made

    def _aws(self) -> list[Finding]:
        """One cause is told once: what every check after it would fail of ends them, some only after all of its patience."""
        checks = {"clock": self._clock, **self._s3(), **({"tags": self._tags} if self._instance is not None else {})}
        found: list[Finding] = []
        for name, check in checks.items():
            found.append(find(name, check))
            if isinstance(found[-1].error, StoreUnavailable | StoreUnusable):
                left = ", ".join(other for other in checks if other not in {one.name for one in found})
                return [*found, Finding("not tried", left, advice="mend that, then: runctl-agent doctor")] if left else found
        return found

    def _s3(self) -> dict[str, Check]:
        checks: dict[str, Check] = {
            "bucket": self._bucket,
            "write": self._write,
            "read": self._read,
            "list": self._list,
            "multipart": self._multipart,
            **({"delete": self._delete} if self._spec.retention.wanted else {}),
            "lifecycle": self._lifecycle,
        }
        return {f"s3 {name}": check for name, check in checks.items()}

    def _bucket(self) -> str:
        store = self._store()
        store.check_bucket(self._machine.keys.base)
        return f"{store.bucket}{f' in {store.region}' if store.region else ''}"

    def _write(self) -> str:
        prove_conditional_writes(self._store(), self._machine.keys, self._runtime)
        return f"{self._machine.keys.probe}, and a second If-None-Match: * is refused"

    def _delete(self) -> str:
        try_to_delete(self._store(), self._machine.keys)
        return f"for the run's retention, below {self._machine.keys.base}"

    def _read(self) -> str:
        got = self._store().get(self._machine.keys.probe)
        return f"{self._machine.keys.probe}{'' if got is not None else ' may be read, and is not there'}"

    def _list(self) -> str:
        first = next(iter(self._store().list(self._machine.keys.base)), None)
        return f"{self._machine.keys.base}{'' if first is not None else ' is empty'}"

    def _multipart(self) -> str:
        store, key, body = self._store(), self._machine.keys.probe, b"runctl"
        upload = store.create_multipart(key)
        try:
            store.put_part(key, upload, 1, body, zlib.crc32(body))
            store.list_parts(key, upload)
        finally:
            store.abort_multipart(key, upload)
        return "begun, sent, listed and aborted"

    def _lifecycle(self) -> Advice:
        try:
            found = self._store().lifecycle()
        except StoreRefused as error:  # the agent itself needs no such right
            return Advice(f"not known: {error}", error.mend)
        return examine(found, self._store().bucket, self._machine.keys)

    def _tags(self) -> str:
        if self._instance is None:
            raise AssertionError("asked on EC2 only")
        tags = self._machine.tags(self._instance)
        tags.rehearse()
        tags.read()
        return f"may be written and read on {self._instance.id}"

    # --- this machine ---

    def _state_dir(self) -> str:
        path = self._machine.state_dir
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"runctl")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WrongStateError(
                f"nothing can be written in the state directory {path}",
                error.strerror or str(error),
                "give another one with --state-dir",
            ) from error
        return path

    def _file_systems(self) -> list[str]:
        """One path on each that is written to."""
        found: dict[int, str] = {}
        for path in [self._machine.state_dir, *self._roots]:
            try:
                found.setdefault(os.stat(path).st_dev, path)
            except OSError:  # told of by the check of the directory itself
                continue
        return list(found.values())

    def _space(self, path: str) -> str:
        disk = os.statvfs(path)
        free = size(disk.f_bavail * disk.f_frsize)
        short = Stager(self._machine.home(), keep_free=self._spec.staging.keep_free).short_by(path)
        if short:
            raise WrongStateError(
                f"the disk of {path} is {size(short)} short of staging.keep_free",
                f"{free} are free",
                "free space on that disk, or lower staging.keep_free in the run spec",
            )
        return f"{free} free, which is above staging.keep_free"

    def _inotify(self) -> str:
        directories = sum(_directories(root) for root in self._roots)
        most = _max_watches()
        if directories > most:
            raise WrongStateError(
                f"{directories} directories are watched and {most} watches allowed",
                "fs.inotify.max_user_watches; the rest is read every few seconds instead",
                MORE_WATCHES,
            )
        try:
            with tempfile.TemporaryDirectory(dir=self._machine.state_dir) as directory:
                Inotify(directory, lambda path, what: None, lambda: None).stop()
        except OSError as error:
            raise WrongStateError("no inotify instance is left", error.strerror or str(error), MORE_INSTANCES) from error
        return f"{directories} director{'y' if directories == 1 else 'ies'} to watch, {most} allowed"

    def _root(self, root: str) -> list[Finding]:
        watched = find(f"watched {root}", partial(self._readable, root))
        if watched.error is not None or not os.path.isdir(root):
            return [watched]
        return [watched, find(f"staging {root}", partial(self._holds, root))]

    def _readable(self, root: str) -> str:
        """Read as the agent reads it, every candidate."""
        watched = next(one for one in self._spec.checkpoints if one.path == root)
        with closing(Reader(watched)) as reader:
            try:
                readings = [reader.read(name) for name in reader.names()]
            except NotFoundError:
                return "does not exist yet: the agent waits for the training to make it"
        found = sum(reading is not None for reading in readings)
        mount = mount_of(root)
        polled = f"; {mount.type}, so it is read every few seconds" if mount is not None and is_network(mount.type) else ""
        return f"{found} checkpoint{'' if found == 1 else 's'}{polled}"

    def _holds(self, root: str) -> str:
        held, place = try_to_hold(root, self._machine.home(), self._roots)
        return f"{HOLDS[held]}{f', in {place}' if place else ''}"


def _directories(root: str) -> int:
    """Those that inotify has to watch; what can't be read is told of elsewhere."""
    return sum(1 for _ in os.walk(os.path.realpath(root)))


def _max_watches() -> int:
    with open(MAX_WATCHES, encoding="ascii") as file:
        return int(file.read())
