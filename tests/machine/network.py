"""A machine's own network: a namespace whose one way out leads to this host. Needs root.

At 169.254.169.254 it has a metadata service of its own, and at `gateway` whatever listens on this host's loopback.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.systemd.nspawn import done

IMDS = "169.254.169.254"
INSIDE = "host0"
"""Its interface, as systemd-nspawn names one."""


TO_LOOPBACK = f"""
table ip %(name)s {{
  chain to-loopback {{
    type nat hook prerouting priority dstnat
    iifname %(own)s ip daddr {IMDS} tcp dport 80 dnat to 127.0.0.1:%(port)d
    iifname %(own)s ip daddr %(gateway)s ip protocol tcp dnat to 127.0.0.1
  }}
}}
"""
CUT = f"""
table ip cut {{
  chain out {{
    type filter hook output priority filter
    oifname {INSIDE} ip daddr != {IMDS} drop
  }}
  chain in {{
    type filter hook input priority filter
    iifname {INSIDE} ip saddr != {IMDS} drop
  }}
}}
"""


class Network:
    """Of one machine, over all of its boots. `imds_port`: of this host's loopback."""

    def __init__(self, imds_port: int) -> None:
        number = uuid.uuid4().int
        self.name = f"runctl-{number % 2**32:08x}"
        self._outside = f"rc{number % 2**32:08x}"
        self.gateway = f"10.213.{number >> 32 & 255}.{(number >> 40 & 63) * 4 + 1}"
        self._own = self.gateway.rpartition(".")[0] + f".{int(self.gateway.rpartition('.')[2]) + 1}"
        self._imds_port = imds_port

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self.name

    def make(self, cleanup: ExitStack) -> None:
        done("ip", "netns", "add", self.name)
        cleanup.callback(done, "ip", "netns", "del", self.name)
        done("ip", "link", "add", self._outside, "type", "veth", "peer", "name", INSIDE, "netns", self.name)
        done("ip", "addr", "add", f"{self.gateway}/30", "dev", self._outside)
        done("ip", "link", "set", self._outside, "up")
        Path(f"/proc/sys/net/ipv4/conf/{self._outside}/route_localnet").write_text("1")
        done("nft", TO_LOOPBACK % {"name": self.name, "own": self._outside, "gateway": self.gateway, "port": self._imds_port})
        cleanup.callback(done, "nft", f"delete table ip {self.name}")
        done("ip", "-n", self.name, "link", "set", "lo", "up")
        done("ip", "-n", self.name, "addr", "add", f"{self._own}/30", "dev", INSIDE)
        done("ip", "-n", self.name, "link", "set", INSIDE, "up")
        done("ip", "-n", self.name, "route", "add", "default", "via", self.gateway)

    # --- what happens to it ---

    def cut(self) -> None:
        """Nothing answers any more, and nothing refuses; the metadata service is the hypervisor's, and does."""
        self._inside(CUT)

    def heal(self) -> None:
        self._inside("delete table ip cut")

    def slow(self, rate: int) -> None:
        """What it sends, in bytes per second."""
        tbf = ["tbf", "rate", f"{rate * 8}bit", "burst", "64kb", "latency", "200ms"]
        done("tc", "-n", self.name, "qdisc", "replace", "dev", INSIDE, "root", *tbf)

    def fast(self) -> None:
        done("tc", "-n", self.name, "qdisc", "del", "dev", INSIDE, "root")

    @property
    def sent(self) -> int:
        """Bytes that it has sent, its headers counted."""
        return int(Path(f"/sys/class/net/{self._outside}/statistics/rx_bytes").read_text())

    def _inside(self, rules: str) -> None:
        done("ip", "netns", "exec", self.name, "nft", rules)


@contextmanager
def network(imds_port: int) -> Iterator[Network]:
    made = Network(imds_port)
    with ExitStack() as cleanup:
        made.make(cleanup)
        yield made
