"""The simulator's process: `python -m runctl_simulator.server OPTIONS`, started by `cloud.Cloud`.

One JSON line on standard output says where it listens. It ends at SIGTERM and, unless detached, when its standard input ends;
nothing that it has started is left.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

from .activities import Activities
from .autoscaling import AutoScaling
from .backend import INSTANCE_PROFILE, Backend
from .clock import Clock
from .control import Control
from .ec2 import Ec2
from .front import Front
from .group_store import GroupStore
from .groups import Groups
from .machines import Machines
from .processes import adopt_orphans
from .seaweed import REGION, SECRET, SeaweedFS

TICK = 0.05
"""Seconds between two looks at the machines."""

AWS_SERVICES = ("EC2", "AUTO_SCALING", "STS", "IAM", "SSM", "SERVICE_QUOTAS", "PRICING")


class Server:
    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self._options = options
        self._attached = True
        self._lock = threading.RLock()
        self._clock = Clock()
        self._instance_env: dict[str, str] = {}
        self._s3 = options.s3_endpoint
        self._backend = Backend(options.region)
        self._machines = Machines(
            options.directory / "instances", self._backend, self._surroundings, grace=options.grace, keep=options.keep
        )
        if not self._s3:
            seaweed = stack.enter_context(SeaweedFS(options.directory / "s3"))
            self._s3 = seaweed.endpoint
            self._machines.others = frozenset({seaweed.pid})
        front = Front(self._lock, self._after)
        self._ec2 = Ec2(self._backend, self._machines, front.ask_moto, self._clock.now)
        store = GroupStore(self._backend)
        activities = Activities(self._clock.time)
        self._groups = Groups(store, self._backend, self._machines, activities, self._clock.now)
        autoscaling = AutoScaling(store, self._groups, activities, front.ask_moto, self._ec2.denied)
        exhausted = self._backend.exhausted
        control = Control(self._ec2, self._machines, self._groups, self._clock, self._instance_env, exhausted, self._let_go)
        self._http = front.serve({"ec2": self._ec2, "autoscaling": autoscaling}, control.call)
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"

    def run(self, stop: int) -> None:
        """Until there is something to read from descriptor `stop`, or the standard input ends."""
        image, env = self._backend.register_image(), self._env()
        self._backend.create_instance_profile()
        thread = threading.Thread(target=self._http.serve_forever, name="http")
        thread.start()
        told = {"endpoint": self.endpoint, "s3_endpoint": self._s3, "image_id": image, "instance_profile": INSTANCE_PROFILE}
        print(json.dumps({**told, "env": env, "pid": os.getpid()}), flush=True)
        try:
            while not self._told_to_end(stop):
                with self._lock:
                    self._tick()
        finally:
            self._http.shutdown()
            thread.join()
            with self._lock:
                self._machines.cut_all()
            self._http.server_close()

    def _told_to_end(self, stop: int) -> bool:
        heard = select.select([stop, 0] if self._attached else [stop], [], [], TICK)[0]
        return stop in heard or (0 in heard and self._attached and not os.read(0, 4096))

    def _tick(self) -> None:
        self._ec2.show(self._ec2.late.due(self._clock.now()))
        self._machines.look()
        self._machines.interrupt_due(self._clock.time())
        self._after()

    def _after(self) -> None:
        """After every request, and at every tick."""
        self._groups.act()
        self._machines.act_out()

    def _let_go(self) -> None:
        self._attached = False

    def _env(self) -> dict[str, str]:
        """For a controller; instances have the same, but for their metadata service."""
        return {
            **{f"AWS_ENDPOINT_URL_{service}": self.endpoint for service in AWS_SERVICES},
            "AWS_ENDPOINT_URL_S3": self._s3,
            "AWS_REGION": self._options.region,
            "AWS_DEFAULT_REGION": self._options.region,
            "AWS_ACCESS_KEY_ID": self._options.access_key,
            "AWS_SECRET_ACCESS_KEY": self._options.secret_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
        }

    def _surroundings(self) -> dict[str, str]:
        return {**self._env(), **self._instance_env}


def main() -> None:
    parser = argparse.ArgumentParser(prog="runctl-simulator")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--s3-endpoint", default="")
    parser.add_argument("--region", default=REGION)
    parser.add_argument("--access-key", default="admin")
    parser.add_argument("--secret-key", default=SECRET)
    parser.add_argument("--grace", type=float, default=20.0)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    stop, told = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(told, b"1"))
    adopt_orphans()
    with ExitStack() as stack:
        Server(options, stack).run(stop)


if __name__ == "__main__":
    main()
