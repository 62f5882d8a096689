"""The exit record: what `runctl-agent exec` saw of its command's end, in the state directory. Fuller than the exit-code file."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass

from runctl_agent.contract.document import Fields, between, boolean, count, encode, instant, optional, parse, text, total
from runctl_agent.contract.malformed import Malformed
from runctl_agent.records import ProcessId

from .marker_file import look_at

VERSION = 1


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How one process ended. `process.pid` is 0 where the command could not be started at all."""

    run: str
    attempt: int
    process: ProcessId
    code: int  # 0-255; 128+N for signal N
    signal: int | None
    oom_kill: bool | None  # the kernel killed for want of memory in its cgroup; None: unknown
    start: float  # wall-clock seconds since the epoch
    end: float
    peak_rss: int  # bytes
    error: str = ""  # why it could not be started


def exit_path(state_dir: str, run: str) -> str:
    """Where the record of the last command of this run lies."""
    return f"{state_dir}/exit-{run}.json"


def started_path(state_dir: str, run: str) -> str:
    """Where it says which process the last command of this run is, so that nobody starts a second one beside it."""
    return f"{state_dir}/exec-{run}.json"


def lock_path(state_dir: str, run: str) -> str:
    """Locked (flock(2)) by whoever runs the command of this run, from before its start to after its end."""
    return f"{state_dir}/exec-{run}.lock"


def was_started(state_dir: str, run: str, boot_id: str) -> bool:
    """Whether the command of this run was started in this boot, whatever became of it; also while it is only about to be."""
    return left_a_word(state_dir, run, boot_id) or locked(lock_path(state_dir, run))


def left_a_word(state_dir: str, run: str, boot_id: str) -> bool:
    """Whether `exec` has said in this boot who the command is, or how it ended."""
    started = decode_process(look_at("/", started_path(state_dir, run)).body)
    record = decode_record(look_at("/", exit_path(state_dir, run)).body)
    if isinstance(started, ProcessId) and started.boot_id == boot_id:
        return True
    return isinstance(record, ExitRecord) and record.process.boot_id == boot_id


def locked(path: str) -> bool:
    """Whether somebody holds the lock file at `path` (flock(2)); asking takes it from nobody."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def encode_record(record: ExitRecord) -> bytes:
    """One line of JSON. Raises ValueError for what would not be read back."""
    plain = {
        "version": VERSION,
        "run": record.run,
        "attempt": record.attempt,
        **_plain_process(record.process),
        "code": record.code,
        "signal": record.signal,
        "oom_kill": record.oom_kill,
        "start": record.start,
        "end": record.end,
        "peak_rss": record.peak_rss,
        "error": record.error,
    }
    return encode(plain, _record)


def decode_record(body: bytes) -> ExitRecord | Malformed:
    """
    >>> decode_record(b"killed")
    Malformed(reason='not JSON: Expecting value: line 1 column 1 (char 0)')
    """
    return total(lambda given: _record(Fields(parse(given))), body)


def encode_process(process: ProcessId) -> bytes:
    return encode(_plain_process(process), _process)


def decode_process(body: bytes) -> ProcessId | Malformed:
    return total(lambda given: _process(Fields(parse(given))), body)


def _plain_process(process: ProcessId) -> dict[str, object]:
    return {"pid": process.pid, "boot_id": process.boot_id, "ticks": process.ticks}


def _process(fields: Fields) -> ProcessId:
    return ProcessId(fields.need("pid", count), fields.need("ticks", count), fields.need("boot_id", text))


def _record(fields: Fields) -> ExitRecord:
    fields.version(VERSION)
    return ExitRecord(
        run=fields.need("run", text),
        attempt=fields.need("attempt", count),
        process=_process(fields),
        code=fields.need("code", between(0, 255)),
        signal=fields.need("signal", optional(between(1, 127))),
        oom_kill=fields.need("oom_kill", optional(boolean)),
        start=fields.need("start", instant),
        end=fields.need("end", instant),
        peak_rss=fields.need("peak_rss", count),
        error=fields.get("error", text, ""),
    )
