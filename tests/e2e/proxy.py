"""mitmproxy before a real S3: what a wire and a server do wrong, told request by request.

One mitmdump for all tests of a process; `wire.py` is what it runs.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.e2e.answering import s3_error
from tests.e2e.seaweed import S3, die_with_parent, free_ports

MITMDUMP = str(Path(sys.executable).with_name("mitmdump"))
WIRE = Path(__file__).with_name("wire.py")
ALWAYS = 1_000_000


@dataclass(frozen=True)
class Fault:
    """Befalls `times` requests of an S3 `operation` (empty: any) whose key contains `key`, after `skip` that go well."""

    does: str
    operation: str
    key: str = ""
    times: int = ALWAYS
    skip: int = 0
    status: int = 0
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0


def answer(status: int, code: str, operation: str, *, message: str = "as told", **which: Any) -> Fault:
    """The server says this instead of doing anything."""
    headers = {"Content-Type": "application/xml", "x-amz-request-id": "4442587FB7D0A2F9"}
    return Fault("answer", operation, status=status, body=s3_error(code, message).decode(), headers=headers, **which)


def answer_after(status: int, code: str, operation: str, **which: Any) -> Fault:
    """The server does it, and says this."""
    return replace(answer(status, code, operation, **which), does="answer after")


def reset(operation: str, *, after: int, **which: Any) -> Fault:
    """The connection is reset once `after` bytes of the body have passed."""
    return Fault("reset", operation, after=after, **which)


def lose(operation: str, **which: Any) -> Fault:
    """It is done, and the connection is reset in place of an answer."""
    return Fault("lose", operation, **which)


def hang(operation: str, **which: Any) -> Fault:
    """Accepted whole, never passed on, never answered."""
    return Fault("hang", operation, **which)


def hang_after(operation: str, **which: Any) -> Fault:
    """Done, and never answered."""
    return Fault("hang after", operation, **which)


def hold(operation: str, **which: Any) -> Fault:
    """Accepted whole, and passed on at the next `set`."""
    return Fault("hold", operation, **which)


def corrupt_request(operation: str, **which: Any) -> Fault:
    """One bit of the request's body is another one when it reaches the server."""
    return Fault("corrupt request", operation, **which)


def reset_response(operation: str, *, after: int, **which: Any) -> Fault:
    """The connection is reset once `after` bytes of the answer's body have passed."""
    return Fault("reset response", operation, after=after, **which)


def corrupt_response(operation: str, **which: Any) -> Fault:
    return Fault("corrupt response", operation, **which)


@dataclass(frozen=True)
class Seen:
    """A request. `bytes`: how many of its body came; `status`: the server's answer, 0 for none; `did`: the fault."""

    operation: str
    key: str
    part: int | None
    bytes: int
    status: int
    did: str


class Proxy:
    """`s3` is the server behind it, as its clients reach it."""

    def __init__(self, port: int, s3: S3) -> None:
        self._port = port
        self.s3 = replace(s3, endpoint=f"http://127.0.0.1:{port}")

    def set(self, *faults: Fault, anew: bool = False) -> None:
        """From now on these and no others; what hung or was held before is let go. `anew`: forget what was seen."""
        self._tell("POST", "/-/rules", json.dumps({"rules": [asdict(fault) for fault in faults], "anew": anew}))

    def seen(self, operation: str = "") -> list[Seen]:
        notes = json.loads(self._tell("GET", "/-/log"))
        seen = [Seen(**{**note, "key": unquote(note["key"])}) for note in notes]
        return [one for one in seen if operation in ("", one.operation)]

    def befell(self) -> list[Seen]:
        """The requests that a fault befell."""
        return [one for one in self.seen() if one.did]

    def until(self, count: int, operation: str = "") -> None:
        """Wait until faults befell so many; the limit is a safety net and never the thing tested."""
        end = time.monotonic() + 120
        while len([one for one in self.befell() if operation in ("", one.operation)]) < count:
            assert time.monotonic() < end, self.seen()
            time.sleep(0.02)

    def _tell(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200, said
            return said
        finally:
            connection.close()


@contextmanager
def mitmdump(upstream: str, directory: Path) -> Iterator[int]:
    """The port of a proxy before `upstream`."""
    port = free_ports(1)[0]
    log = directory / "mitmdump.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            _argv(upstream, port, directory),
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock
        )
    try:
        _wait(port, process, log)
        yield port
    finally:
        process.kill()
        process.wait()


def _argv(upstream: str, port: int, directory: Path) -> list[str]:
    options = ["keep_host_header=true", f"confdir={directory}", "connection_strategy=lazy"]
    argv = [MITMDUMP, "-q", "--mode", f"reverse:{upstream}", "--listen-host", "127.0.0.1", "-p", str(port), "-s", str(WIRE)]
    return argv + [word for option in options for word in ("--set", option)]


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            Proxy(port, S3("", "")).seen()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
