"""`docker build`: an image out of a folder, and into a registry. What can fail before the build is asked before it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from .dockerfile import dockerfile_of
from .documents import Image
from .ecr import Ecr, Login
from .engine import Built, Engine
from .reference import Reference, default, parse

AMD64 = "linux/amd64"
"""What GPU instances are, but for g5g; a laptop may be another, and its image would not run there."""

Say = Callable[[str], None]

_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say; empty: not given."""

    folder: str = "."
    tag: str = ""
    file: str = ""
    platform: str = ""
    push: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """`digest` empty: it was not pushed, or the registry did not say."""

    image: Reference
    built: Built
    dockerfile: str
    pushed: bool
    digest: str = ""

    @property
    def pinned(self) -> str:
        """What `training.image` takes, for the very same image always."""
        return f"{self.image}@{self.digest}" if self.digest else str(self.image)

    def plain(self) -> Image:
        return {
            "image": str(self.image),
            "id": self.built.id,
            "bytes": self.built.bytes,
            "architecture": self.built.architecture,
            "dockerfile": self.dockerfile,
            "pushed": self.pushed,
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class _Way:
    """How a push goes; `login` None: by what docker knows of the registry itself."""

    image: Reference
    ecr: Ecr | None = None
    login: Login | None = None


def build(asked: Asked, say: Say) -> Done:
    """Raises RunctlError."""
    dockerfile = os.path.normpath(dockerfile_of(asked.folder, asked.file))
    image = parse(asked.tag) if asked.tag else default(asked.folder)
    engine = Engine(say)
    wanted = asked.platform or AMD64
    here = f"linux/{engine.architecture()}"
    way = _way(image) if asked.push else _Way(image)
    say(f"building {dockerfile} as {way.image}" + ("" if here == wanted else f" for {wanted}, on {here}: that takes longer"))
    engine.build(asked.folder, dockerfile, str(way.image), asked.platform or ("" if here == wanted else wanted))
    done = Done(way.image, engine.look(str(way.image)), dockerfile, False)
    return _pushed(engine, way, done, say) if asked.push else done


def _way(image: Reference) -> _Way:
    """A registry that is named and not ECR's is the user's own affair, logins too."""
    if image.registry and image.ecr is None:
        return _Way(image)
    account, region = image.ecr or ("", "")
    ecr = Ecr(region, account)
    login = ecr.login()
    return _Way(image if image.registry else replace(image, registry=login.registry), ecr, login)


def _pushed(engine: Engine, way: _Way, done: Done, say: Say) -> Done:
    if way.ecr is None or way.login is None:
        said = engine.push(str(way.image))
    else:
        if way.ecr.make(way.image.repository):
            say(f"made the repository {way.image.repository}")
        with engine.logged_in(way.image.registry, way.login.user, way.login.password) as environ:
            said = engine.push(str(way.image), environ)
    found = _DIGEST.search(said)
    return replace(done, pushed=True, digest=found[1] if found else "")
