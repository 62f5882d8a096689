"""An instance metadata service, version 2 only, with notices that a test or the demo injects.

Sources, all Amazon EC2 User Guide unless named: "Use the Instance Metadata Service to access instance metadata" (tokens, 401,
throttling), "Instance identity documents", "Spot Instance interruption notices", "EC2 instance rebalance recommendations",
"View scheduled events that affect your Amazon EC2 instances", "View tags for your EC2 instances using instance metadata";
"Retrieve the target lifecycle state through instance metadata" (Amazon EC2 Auto Scaling User Guide).
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote

MAX_TTL = 21600
MAX_TAGS = 50
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

SPOT = "meta-data/spot/instance-action"
REBALANCE = "meta-data/events/recommendations/rebalance"
SCHEDULED = "meta-data/events/maintenance/scheduled"
LIFECYCLE_STATE = "meta-data/autoscaling/target-lifecycle-state"
LIFE_CYCLE = "meta-data/instance-life-cycle"
TAGS = "meta-data/tags/instance"
USER_DATA = "user-data"
VERSION = re.compile(r"^/(?:latest|20[0-9]{2}-[0-9]{2}-[0-9]{2})/")


@dataclass(frozen=True)
class Identity:
    """What the instance identity document says."""

    instance_id: str = "i-0123456789abcdef0"
    region: str = "us-east-1"
    availability_zone: str = "us-east-1a"
    instance_type: str = "g5.xlarge"
    image_id: str = "ami-0123456789abcdef0"
    account_id: str = "123456789012"
    private_ip: str = "10.0.0.10"
    architecture: str = "x86_64"
    pending_time: str = "2026-11-23T18:00:00Z"

    def document(self) -> str:
        fields = {
            "accountId": self.account_id,
            "architecture": self.architecture,
            "availabilityZone": self.availability_zone,
            "billingProducts": None,
            "imageId": self.image_id,
            "instanceId": self.instance_id,
            "instanceType": self.instance_type,
            "pendingTime": self.pending_time,
            "privateIp": self.private_ip,
            "region": self.region,
            "version": "2017-09-30",
        }
        return json.dumps(fields, indent=2)

    def paths(self) -> dict[str, str]:
        return {
            "dynamic/instance-identity/document": self.document(),
            "meta-data/ami-id": self.image_id,
            "meta-data/instance-id": self.instance_id,
            "meta-data/instance-type": self.instance_type,
            "meta-data/local-ipv4": self.private_ip,
            "meta-data/placement/availability-zone": self.availability_zone,
            "meta-data/placement/region": self.region,
        }


@dataclass(frozen=True)
class ScheduledEvent:
    """Times must be aware; they are shown in GMT."""

    code: str
    not_before: datetime
    not_after: datetime
    event_id: str = "instance-event-0d59937288b749b32"
    description: str = "scheduled reboot"
    state: str = "active"

    def fields(self) -> dict[str, str]:
        return {
            "NotBefore": _gmt(self.not_before),
            "Code": self.code,
            "Description": self.description,
            "EventId": self.event_id,
            "NotAfter": _gmt(self.not_after),
            "State": self.state,
        }


@dataclass
class _Fault:
    status: int
    left: int
    path: str


class ImdsServer:
    """Serves from `start` to `stop`, also as a context manager. `requests` has (method, path, status) of every request.

    `tags=None`: launched without InstanceMetadataTags; `live_tags` is asked at every request instead. `clock` ages the tokens.
    `user_data` as the instance was launched with it; None: without any.
    Every method may be called at any time.
    """

    def __init__(
        self,
        identity: Identity | None = None,
        *,
        life_cycle: str = "on-demand",
        tags: Mapping[str, str] | None = None,
        live_tags: Callable[[], Mapping[str, str] | None] | None = None,
        user_data: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests: list[tuple[str, str, int]] = []
        self._clock = clock
        self._lock = threading.Lock()
        self._paths = {**(identity or Identity()).paths(), LIFE_CYCLE: life_cycle}
        self._paths |= {} if user_data is None else {USER_DATA: user_data}
        self._tags = live_tags or (lambda: tags)
        self._tokens: dict[str, float] = {}
        self._faults: list[_Fault] = []
        self._server = _Server((host, port), _Handler)
        self._server.imds = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="imds")

    def __enter__(self) -> ImdsServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """For AWS_EC2_METADATA_SERVICE_ENDPOINT."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    # --- what happens to the instance ---

    def interrupt_spot(self, action: str, at: datetime) -> None:
        """`action`: terminate, stop or hibernate, at a fixed time."""
        if action not in ("terminate", "stop", "hibernate"):
            raise ValueError(f"{action} is none of terminate, stop, hibernate")
        self._set(SPOT, json.dumps({"action": action, "time": _rfc3339(at)}))

    def recommend_rebalance(self, noticed: datetime) -> None:
        self._set(REBALANCE, json.dumps({"noticeTime": _rfc3339(noticed)}))

    def schedule(self, *events: ScheduledEvent) -> None:
        """Replace the scheduled events; none: 404."""
        self._set(SCHEDULED, json.dumps([event.fields() for event in events]) if events else None)

    def set_lifecycle_state(self, state: str | None) -> None:
        """InService, Terminated, …; None: in no Auto Scaling group."""
        self._set(LIFECYCLE_STATE, state)

    def garble(self, path: str, body: str) -> None:
        """Something that AWS documents nowhere stands at SPOT, REBALANCE, SCHEDULED or LIFECYCLE_STATE."""
        self._set(path, body)

    def withdraw(self, path: str) -> None:
        """Take back what was set on SPOT, REBALANCE, SCHEDULED or LIFECYCLE_STATE."""
        self._set(path, None)

    def set_tags(self, tags: Mapping[str, str] | None) -> None:
        """None: not enabled."""
        if tags is not None and len(tags) > MAX_TAGS:
            raise ValueError(f"{len(tags)} tags: {MAX_TAGS} are allowed")
        copied = None if tags is None else dict(tags)
        with self._lock:
            self._tags = lambda: copied

    def fail_next(self, status: int, times: int = 1, path: str = "") -> None:
        """Answer the next `times` requests whose path under /latest/ starts with `path` with `status`."""
        with self._lock:
            self._faults.append(_Fault(status, times, path))

    def forget_tokens(self) -> None:
        """Tokens die before their time, as over a stop and start."""
        with self._lock:
            self._tokens.clear()

    # --- requests ---

    def answer(self, method: str, target: str, headers: Message) -> tuple[int, str]:
        path = VERSION.sub("", target)
        with self._lock:
            status, body = (404, "") if path == target else self._answer(method, path, headers)
            self.requests.append((method, path, status))
        return status, body

    def _answer(self, method: str, path: str, headers: Message) -> tuple[int, str]:
        fault = next((fault for fault in self._faults if path.startswith(fault.path)), None)
        if fault is not None:
            fault.left -= 1
            if fault.left <= 0:
                self._faults.remove(fault)
            return fault.status, ""
        if path == "api/token":
            return self._new_token(headers) if method == "PUT" else (405, "")
        if method != "GET":
            return 405, ""
        if self._tokens.get(headers.get("X-aws-ec2-metadata-token", ""), -1.0) < self._clock():
            return 401, ""
        return self._get(path)

    def _new_token(self, headers: Message) -> tuple[int, str]:
        """A request that came through a proxy gets none."""
        if headers.get("X-Forwarded-For") is not None:
            return 403, ""
        ttl = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not (ttl.isascii() and ttl.isdigit() and len(ttl) < 9 and 1 <= int(ttl) <= MAX_TTL):
            return 400, ""
        token = secrets.token_urlsafe(40) + "=="
        self._tokens[token] = self._clock() + int(ttl)
        return 200, token

    def _get(self, path: str) -> tuple[int, str]:
        if path == TAGS or path.startswith(TAGS + "/"):
            return self._get_tag(unquote(path[len(TAGS) :].lstrip("/")))
        body = self._paths.get(path, "\n".join(_below(self._paths, path.rstrip("/") + "/")) or None)
        return (404, "") if body is None else (200, body)

    def _get_tag(self, key: str) -> tuple[int, str]:
        tags = self._tags()
        if tags is None:
            return 404, ""
        if not key:
            return 200, "\n".join(tags)
        return (200, tags[key]) if key in tags else (404, "")

    def _set(self, path: str, body: str | None) -> None:
        with self._lock:
            if body is None:
                self._paths.pop(path, None)
            else:
                self._paths[path] = body


class _Server(ThreadingHTTPServer):
    imds: ImdsServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    server: _Server

    def _do(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, text = self.server.imds.answer(self.command, self.path, self.headers)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = _do  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


def _below(paths: Iterable[str], folder: str) -> list[str]:
    return sorted({"".join(path.removeprefix(folder).partition("/")[:2]) for path in paths if path.startswith(folder)})


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _gmt(at: datetime) -> str:
    """Not RFC 3339, and the day is not padded: "1 Jan 2019 09:00:43 GMT"."""
    utc = at.astimezone(UTC)
    return f"{utc.day} {MONTHS[utc.month - 1]} {utc:%Y %H:%M:%S} GMT"
