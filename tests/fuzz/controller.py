"""What the controller reads: a project's settings, launches of others, what docker and AWS say, logs for a terminal."""

from __future__ import annotations

import json
import tempfile

from runctl import complaint
from runctl.beside import Beside, _price
from runctl.cost import _since
from runctl.defaults import load
from runctl.denial import encoded, without_encoded
from runctl.launched import decode_launched, encode_launched
from runctl.logs import _cut
from runctl.reference import parse as reference
from runctl.shown import harmless, shown
from runctl_agent.contract.malformed import Malformed
from runctl_agent.errors import ConfigError, RunctlError, UsageError

from .target import MIB, Target, text_of, there_and_back


def _defaults(body: bytes) -> object:
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".yaml") as file:
        file.write(body)
        file.flush()
        try:
            return len(load(file.name).values) > 0
        except ConfigError as error:
            return Malformed(error.why.strip())


def _prices(body: bytes) -> object:
    with BESIDE._call("pricing", "GetProducts"):
        return _price([text_of(body)]) is None


def _complaints(body: bytes) -> object:
    said = body.decode("utf-8", "replace")
    errors: list[RunctlError] = [
        complaint.unreachable(said, ""),
        complaint.unreachable(said, "tcp://build:2376"),
        complaint.not_built(said, "Dockerfile", "/home/u"),
        complaint.not_logged_in(said, "ghcr.io"),
        complaint.not_pushed(said, "ghcr.io/me/train:1"),
    ]
    encoded(said), without_encoded(said)
    return tuple(type(error).__name__ for error in errors), _since(said) is None


def _image(body: bytes) -> object:
    return reference(text_of(body)).registry != ""


def _terminal(body: bytes) -> object:
    """Nothing that a log says commands the terminal."""
    text = body.decode("utf-8", "replace")
    lines = [harmless(line.decode("utf-8", "replace")) for line in _cut(body)]
    for line in (*lines, shown(text)):
        assert all(one.isprintable() or one == "\t" for one in line), line
    return len(lines)


BESIDE = Beside("eu-central-1")
DEFAULTS = b"""destination: s3://bucket/prefix
region: eu-central-1
instance_type: g5.xlarge
disk: 200
spot: true
security_groups: [sg-0123456789abcdef0]
"""
LAUNCHED = {
    "version": 1,
    "instance_type": "g5.xlarge",
    "image": "ami-1",
    "security_groups": ["sg-1"],
    "token": "5f" * 16,
    "at": 1,
}
PRODUCT = {"terms": {"OnDemand": {"a.b": {"priceDimensions": {"a.b.c": {"pricePerUnit": {"USD": "1.0060000000"}}}}}}}
SAID = (
    b"Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
    b'ERROR: failed to solve: process "/bin/sh -c pip install x" did not complete successfully: exit code: 1',
    b"Encoded authorization failure message: AbC_dEf-123",
    b"User initiated (2026-11-23 18:09:35 GMT)",
    b"denied: requested access to the resource is denied",
)
LOG = b"\x1b[31mred\x1b[0m\tx\x07\r10 %\r20 %\n\x1b]0;title\x07\xe2\x80\xae \xc2\x9b2J\n"

TARGETS = (
    Target(
        "runctl-yaml",
        _defaults,
        [DEFAULTS, b"{}", b"project: a\nowner: me\n"],
        room=2 * MIB,
        ratio=3000,
        deepest=100,
    ),
    Target("launched", there_and_back(decode_launched, encode_launched), [json.dumps(LAUNCHED).encode()]),
    Target("price-list", _prices, [json.dumps(PRODUCT).encode()], (RunctlError,), room=4 * MIB),
    Target("complaints", _complaints, SAID, deepest=1000),
    Target("image-name", _image, [b"ghcr.io/me/train:1", b"localhost:5000/a__b/c-d.e:latest"], (UsageError,)),
    Target("terminal", _terminal, [LOG], ratio=512, deepest=1000),
)
