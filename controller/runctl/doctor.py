"""`runctl doctor`: every precondition of a launch, by doing where that costs nothing; each cause is told once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.errors import ConfigError, RunctlError, TimedOutError, WrongStateError
from runctl_agent.runtime import Runtime
from runctl_agent.store import mends

from . import documents
from .autoscaling import AutoScaling
from .beside import Beside
from .checked import elsewhere
from .checks import Checks, Examined
from .defaults import Defaults
from .draft import CHECKPOINTS
from .ec2 import Ec2
from .exits import CredentialsError
from .image import Image, find_image
from .launched import Launched
from .offer import line
from .request import request
from .shelf import CODE, Shelf

MOST_SKEW = 300.0
"""Seconds between our clock and S3's. AWS refuses from 15 minutes on (RequestTimeTooSkewed), by then without warning."""

NOBODY = "examined"
"""The run of the request that is rehearsed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`text`: what is well, or to be known where `known` is false; empty where `error` says what is not."""

    name: str
    text: str = ""
    error: RunctlError | None = None
    known: bool = True

    def plain(self) -> documents.Finding:
        error = self.error
        ok = None if error is None and not self.known else error is None
        what, why, mend = (error.what, error.why, error.mend) if error is not None else ("", "", "")
        return {"name": self.name, "ok": ok, "text": self.text, "what": what, "why": why, "mend": mend}

    def __str__(self) -> str:
        if self.error is None:
            return f"{'ok  ' if self.known else 'note'} {self.name}: {self.text}"
        mend = f"\n     mend: {self.error.mend}" if self.error.mend else ""
        return f"FAIL {self.name}: {self.error}{mend}"


class Doctor:
    """`launched` is what a launch without options would ask for; `destination` empty: nobody named one."""

    def __init__(self, ec2: Ec2, runtime: Runtime, launched: Launched, destination: str, gpus: int, defaults: Defaults) -> None:
        self._ec2 = ec2
        self._runtime = runtime
        self._launched = launched
        self._destination = destination
        self._gpus = gpus
        self._defaults = defaults
        self._shelf: Shelf | None = None
        self._stopped = False

    def examine(self) -> list[Finding]:
        """In the order in which they are best mended; what can't be told before that is left out, and said."""
        found = [
            self._find("settings", self._settings),
            self._find("git", self._git),
            self._find("region", lambda: self._ec2.region),
        ]
        if self._failed(found):
            return [*found, _not_tried("AWS")]
        found.append(self._find("credentials", self._identity))
        if self._stopped:
            return [*found, _not_tried("S3 and EC2")]
        found += [*self._s3(), *self._launch()]
        return found

    def _find(self, name: str, check: Callable[[], str]) -> Finding:
        self._stopped = False
        try:
            return Finding(name, check())
        except RunctlError as error:
            credentials = isinstance(error, CredentialsError) or error.mend in (mends.CREDENTIALS, mends.EXPIRED)
            self._stopped = credentials or isinstance(error, TimedOutError)
            return Finding(name, error=error)

    @staticmethod
    def _failed(found: list[Finding]) -> bool:
        return found[-1].error is not None

    # --- who, and where ---

    def _settings(self) -> str:
        return self._defaults.path or "no runctl.yaml from here upward: options and environment alone (runctl init writes one)"

    def _git(self) -> str:
        where = shutil.which("git")
        return where or "not installed: all files of the script's folder go along, .gitignore or not"

    def _identity(self) -> str:
        return Beside(self._ec2.region).identity().arn

    # --- S3, by doing ---

    def _s3(self) -> list[Finding]:
        found = [self._find("destination", self._place)]
        for name, check in (("bucket", self._bucket), ("clock", self._clock), ("write", self._write)):
            if self._failed(found):
                return [*found, _not_tried("the rest of S3")]
            found.append(self._find(f"s3 {name}", check))
        return found

    def _place(self) -> str:
        if not self._destination:
            why = "neither --destination nor RUNCTL_DESTINATION nor runctl.yaml names one"
            raise ConfigError("there is no destination", why, "runctl init --destination s3://bucket/prefix")
        self._shelf = Shelf(self._destination, self._runtime)
        return self._shelf.url

    @property
    def _at(self) -> Shelf:
        if self._shelf is None:
            raise AssertionError("asked where there is a destination")
        return self._shelf

    def _bucket(self) -> str:
        runs = self._at.runs()
        if (error := elsewhere(self._at, self._ec2.region)) is not None:
            raise error
        return f"{self._at.destination.bucket} may be listed: {len(runs)} run{'' if len(runs) == 1 else 's'}"

    def _clock(self) -> str:
        before, theirs, after = self._runtime.now(), self._at.store.server_time(), self._runtime.now()
        skew = max(before - theirs - 1, theirs - after, 0.0)  # a Date is cut to whole seconds
        if skew > MOST_SKEW:
            what = f"the clock is {skew:.0f} s {'ahead of' if before > theirs else 'behind'} S3's"
            raise WrongStateError(what, "AWS refuses what is signed at another time", "set it: `timedatectl`")
        return f"within {max(skew, 1):.0f} s of S3's"

    def _write(self) -> str:
        """One small object, where whoever launches may also delete, and where no run is: a folder may outlive what was in it."""
        shelf = self._at
        key = f"{shelf.keys(CODE).base}data/doctor-{self._runtime.nonce()[-8:]}.txt"
        shelf.store.put(key, b"runctl doctor", if_absent=True)
        shelf.store.get(key)
        shelf.store.delete(key)
        return f"written, read and deleted below {shelf.url}/"

    # --- EC2 ---

    def _launch(self) -> list[Finding]:
        found = [self._find("ec2", lambda: f"{len(self._ec2.instances({'tag-key': ['runctl:run']}))} instances of runs")]
        if self._stopped:
            return [*found, _not_tried("EC2")]
        images: list[Image] = []
        found.append(self._find("image", lambda: self._image(images)))
        image = images[0] if images else None
        examined = Checks(self._ec2, Beside(self._ec2.region), self._runtime.now).examine(self._launched, self._gpus, image)
        found += self._told(examined)
        if image is not None and not examined.problems:
            found.append(self._find("launch", lambda: self._rehearsal(image)))
        if self._launched.recover:
            found.append(self._find("groups", lambda: f"{len(AutoScaling(self._ec2).all())} groups of runs"))
        return found

    def _image(self, images: list[Image]) -> str:
        images.append(image := find_image(self._ec2, self._launched.image, self._launched.instance_type))
        return f"{image.id}, agent {image.agent_version or 'of no version that its tags name'}"

    def _told(self, examined: Examined) -> list[Finding]:
        found = [Finding(name, error=error) for name, error in examined.found]
        found += [Finding(name, why, known=False) for name, _, why in (one.partition(": ") for one in examined.remarks)]
        if examined.offers and not examined.problems:
            hardware = examined.offers[0].hardware
            found.append(Finding("type", f"{self._launched.instance_type}: {hardware or 'there'}"))
            found.append(Finding("price", line(examined.offers, spot=self._launched.spot)))
        return found

    def _rehearsal(self, image: Image) -> str:
        """A dry run tells whether it would be allowed, and nothing of capacity."""
        spec = Spec(NOBODY, self._destination or f"s3://{NOBODY}/runs", (Watched(CHECKPOINTS),))
        begun = replace(self._launched, image=image.id, region=self._ec2.region, token=self._runtime.nonce())
        self._ec2.rehearse(request(spec, f"{spec.destination}/{NOBODY}/run.json", begun, image))
        return "would be allowed (a dry run; it says nothing of capacity)"


def _not_tried(what: str) -> Finding:
    return Finding("not tried", f"{what}: mend that first", known=False)
