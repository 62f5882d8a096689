"""How docker logs in to Amazon ECR: by the helper that gets a password by the role, where nobody says otherwise."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from runctl_agent.contract.registry import ecr

HELPER = "ecr-login"
"""`docker-credential-ecr-login`, of the package amazon-ecr-credential-helper."""

LARGEST = 1_000_000
"""Bytes of a configuration that are read."""


@contextmanager
def logged_in(image: str, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The environment to pull `image` in. The client's own configuration is left as it is: a copy has the helper."""
    own = dict(environ)
    folder = environ.get("DOCKER_CONFIG") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".docker")
    there = shutil.which(f"docker-credential-{HELPER}", path=environ.get("PATH")) is not None
    config = with_helper(_read(os.path.join(folder, "config.json")), image) if there else None
    if config is None:
        yield own
        return
    with tempfile.TemporaryDirectory(prefix="runctl-docker-") as copy:
        with open(os.path.join(copy, "config.json"), "wb") as file:
            file.write(config)
        yield {**own, "DOCKER_CONFIG": copy}


def with_helper(config: bytes, image: str) -> bytes | None:
    """`config` (config.json of the docker client) with the helper for the registry of `image`.

    None: that is none of ECR's, somebody has said how to log in to it, or the client's context lies beside this file.

    >>> with_helper(b"", "111122223333.dkr.ecr.eu-central-1.amazonaws.com/runctl/train:1")
    b'{"credHelpers": {"111122223333.dkr.ecr.eu-central-1.amazonaws.com": "ecr-login"}}'
    """
    registry = image.partition("/")[0]
    if ecr(registry) is None:
        return None
    try:
        found = json.loads(config or b"{}")
    except (ValueError, RecursionError):
        return None  # the client says what is wrong with it
    if not isinstance(found, dict) or found.get("credsStore") or found.get("currentContext"):
        return None
    auths, helpers = found.get("auths", {}), found.get("credHelpers", {})
    if not isinstance(auths, dict) or not isinstance(helpers, dict) or registry in auths or registry in helpers:
        return None
    return json.dumps({**found, "credHelpers": {**helpers, registry: HELPER}}).encode()


def _read(path: str) -> bytes:
    """Empty: there is none that can be read."""
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST)
    except OSError:
        return b""
