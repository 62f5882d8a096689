"""The real machine around the agent: inotify, processes, IMDS, S3 and EC2, and where its own files lie."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Mapping

from . import lean, notify, power
from .boot import boot_time
from .contract.keys import Destination, Keys, parse_destination
from .contract.malformed import Malformed
from .contract.spec import Spec
from .disk.lock import Locks, default_runtime_dir
from .disk.stage import Stager
from .disk.watch import DiskWatcher, Watcher
from .ec2 import Ec2Tags
from .errors import ConfigError, ImdsUnavailable, RunctlError, WrongStateError
from .group import AutoScalingGroup
from .meter import Meter
from .publish import write_atomically
from .records import Change, Instance, ProcessId
from .runtime import Runtime
from .state_dir import make_state_dir
from .store.bandwidth import Limiter
from .store.journal import Journal
from .store.s3 import S3Store
from .surroundings import Reached
from .training.imds import Imds
from .training.job import Jobs, Workers
from .training.tenancy import Tenancy
from .training.trainer import LinuxProcesses
from .training.unit import TRAIN, Units, served


class Machine:
    """What `pipeline.Surroundings` asks for, of this machine."""

    def __init__(self, runtime: Runtime, spec: Spec, state_dir: str) -> None:
        self._runtime = runtime
        self._spec = spec
        self._limiter = Limiter(runtime, spec.bandwidth)
        self._units = served(os.environ)
        self._processes = LinuxProcesses(unit=TRAIN if self._units else "")
        self.state_dir = state_dir
        self.boot_id = self._processes.boot_id
        self.boot_time = boot_time()
        self.destination, self.keys = places(spec)
        runtime_dir = default_runtime_dir(state_dir, uid=os.geteuid(), environ=os.environ)
        self.lock_dir = os.path.join(runtime_dir, "locks")
        self.tenancy = Tenancy(runtime_dir, spec.run, state_dir, self._processes, self.boot_id, runtime)
        self._instance: Instance | None = None
        self._imds = Imds()
        self._owner = ""

    def watcher(self, sink: Callable[[Change], None]) -> Watcher:
        return DiskWatcher(self._runtime, sink)

    def processes(self) -> LinuxProcesses:
        return self._processes

    def reach(self) -> Reached:
        instance = self._instance = self.instance()
        store = self.store(instance)
        store.check_bucket(self.keys.base)
        if instance is None:
            return Reached(None, host_name(), store, None)
        tags = self.tags(instance)
        group = AutoScalingGroup(instance, self._spec.recover) if self._spec.recover.group else None
        return Reached(
            instance, instance.id, store, tags, _Own(self._imds, Imds(kept=True), tags), self._imds.life_cycle(), group
        )

    def jobs(self) -> Jobs:
        if not self._units:
            return Workers()
        return Units(os.path.dirname(self.lock_dir), self._spec.training, power.shutting_down)

    def meter(self) -> Meter:
        return Meter()

    def other_store(self, bucket: str) -> S3Store:
        return self.store(self._instance, bucket)

    def instance(self) -> Instance | None:
        """Who EC2 says we are; None outside EC2."""
        instance = self._imds.identity(self.boot_id, self.boot_time)
        if instance is None and on_ec2(os.environ):
            raise ImdsUnavailable(
                "the instance's identity is not known",
                "this is an EC2 machine, and its metadata service does not answer",
                "nothing to do: it is asked again; or set AWS_EC2_METADATA_DISABLED=true to run without tags",
            )
        return instance

    def store(self, instance: Instance | None, bucket: str | None = None) -> S3Store:
        # Where AWS_REGION is not set, the bucket is asked for in the instance's own region.
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        region = region or (instance.region if instance is not None else None)
        return S3Store(bucket or self.destination.bucket, region=region, limiter=self._limiter)

    def tags(self, instance: Instance) -> Ec2Tags:
        return Ec2Tags(instance, self._imds.tags)

    def write_status(self, body: bytes) -> None:
        write_atomically(os.path.join(self.state_dir, "status.json"), body)

    def write_metrics(self, path: str, body: bytes) -> None:
        write_atomically(path, body)

    def shutting_down(self) -> bool:
        return power.shutting_down()

    def power_off(self) -> None:
        power.power_off()

    def ready(self) -> None:
        notify.ready()
        lean.started()

    # --- the agent's own files ---

    def journal(self) -> Journal:
        """The journal of this state directory, with claims in the name of this very process."""
        own = self._processes.identify(os.getpid())
        if own is None:
            raise WrongStateError(
                "the agent can't find itself in /proc", "/proc is hidden from it", "mount -o remount,hidepid=0 /proc"
            )
        # The nonce tells this life from one before it in the same process: SIGHUP starts anew without a new pid.
        self._owner = f"{own.pid}/{own.ticks}/{own.boot_id}/{self._runtime.nonce()}"
        path = os.path.join(self.home(), "journal.db")
        journal = Journal(path, owner=self._owner, alive=self._owner_alive, lock=self._runtime.lock())
        try:
            journal.make_room()
            self._claim(journal)
        except RunctlError:
            journal.close()
            raise
        return journal

    def _claim(self, journal: Journal) -> None:
        """A journal goes with its destination from the first epoch on: what it has pending carries epochs of that place."""
        known, own = journal.get("destination"), self.destination.url
        if known is not None and known != own and journal.epoch() is not None:
            pending = journal.behind().checkpoints
            raise WrongStateError(
                f"run {self._spec.run} can't go to {own}",
                f"what this state directory knows of it belongs to {known}, {pending} pending checkpoints among that",
                "give the run another name, or give another --state-dir",
            )
        journal.put("destination", own)

    def home(self) -> str:
        """Where this run's journal and snapshots lie, apart from those of every other run with this state directory."""
        return make_state_dir(os.path.join(self.state_dir, "runs", self._spec.run))

    def own_log(self) -> str:
        """Where the agent keeps what it logs."""
        return os.path.join(self.home(), "agent.log")

    def stager(self) -> Stager:
        roots = [watched.path for watched in self._spec.checkpoints]
        return Stager(self.home(), keep_free=self._spec.staging.keep_free, roots=roots)

    def locks(self) -> Locks:
        return Locks(self.lock_dir)

    def _owner_alive(self, owner: str) -> bool:
        pid, ticks, boot_id, _ = owner.split("/")
        if owner != self._owner and self._owner.startswith(f"{pid}/{ticks}/{boot_id}/"):
            return False
        try:
            return self._processes.alive(ProcessId(int(pid), int(ticks), boot_id))
        except RunctlError:
            return True  # not to be seen now: what it claimed stays claimed


class _Own:
    """`surroundings.Own` of this machine."""

    def __init__(self, imds: Imds, events: Imds, tags: Ec2Tags) -> None:
        """`events`: for what is asked every other second, by one task."""
        self._imds = imds
        self._events = events
        self._tags = tags

    def tag(self, key: str) -> str | None:
        return self._imds.tag(key)

    def event(self, path: str) -> bytes | None:
        return self._events.event(path)

    def launch_time(self) -> int:
        return self._tags.launch_time()


def places(spec: Spec) -> tuple[Destination, Keys]:
    """Bucket and keys of a run. Raises ConfigError."""
    destination = parse_destination(spec.destination)
    if isinstance(destination, Malformed):
        raise ConfigError(
            f"the destination {spec.destination} can't be used", destination.reason, "correct destination in the run spec"
        )
    return destination, Keys(destination.prefix, spec.run)


def on_ec2(environ: Mapping[str, str], vendor: str = "/sys/class/dmi/id/sys_vendor") -> bool:
    """Whether the firmware says that this is EC2 ("Detect whether a host is an EC2 instance", Amazon EC2 User Guide)."""
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    try:
        with open(vendor, "rb") as file:
            return file.read(64).strip() == b"Amazon EC2"
    except OSError:
        return False


def host_name() -> str:
    """Who writes, outside EC2: at most 64 printable ASCII characters."""
    name = socket.gethostname()
    if name.isascii() and name.isprintable() and 0 < len(name) <= 58:
        return f"host-{name}"
    return f"host-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
