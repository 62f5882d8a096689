"""The notify protocol of systemd: one datagram to NOTIFY_SOCKET (sd_notify(3)); without it nothing happens."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def ready() -> None:
    """The journal is recovered and the directories are watched."""
    _send("READY=1")


def stopping() -> None:
    _send("STOPPING=1")


def extend(seconds: float) -> None:
    """The stop takes so much longer, from now on."""
    _send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")


def reloading(monotonic_usec: int) -> None:
    """The service starts anew in the same process; READY follows. `monotonic_usec` is CLOCK_MONOTONIC in microseconds."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_usec}")


def watchdog() -> None:
    """Still alive; due at least every WATCHDOG_USEC microseconds."""
    _send("WATCHDOG=1")


class Pulse:
    """The watchdog hears of a loop that turns, and not of one that hangs while the process lives."""

    def __init__(self) -> None:
        self._told = 0

    def beat(self, turns: int) -> None:
        """`turns`: how often the loop has turned so far."""
        if turns != self._told:
            self._told = turns
            watchdog()


def status(text: str) -> None:
    """One line for `systemctl status`."""
    _send("STATUS=" + " ".join(text.split()))


def _send(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket, unix(7)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode("utf-8", "surrogateescape"), address)
    except OSError as error:
        log.warning("systemd was not told %r: %s", message, error)
