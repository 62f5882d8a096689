"""Clients of AWS that share what botocore reads of its own data files, and hold of it only what the agent uses.

Each client has a session of its own, and so settings and credentials of its own.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.loaders import Loader, create_loader
from botocore.session import Session, get_session

log = logging.getLogger(__name__)

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")

SERVICES = frozenset({"autoscaling", "ec2", "s3", "s3-control", "sts", "sso", "portal.sso", "oidc", "signin"})
"""Whose endpoints are kept: what is called, and where credentials come from. Of all of them they take 7 MiB."""


def client(service: str, region: str | None, *, endpoint: str | None = None, config: Config | None = None) -> Any:
    """A client by botocore alone. Raises what botocore raises where the settings make none; nothing is sent yet."""

    def made(session: Session) -> Any:
        return session.create_client(service, region, endpoint_url=endpoint, config=config)

    try:
        return made(_session(_loader(MODELS)))
    except Exception as error:  # noqa: BLE001 - settings that make no client make none of the whole model either, and raise again
        found = made(_session(_loader("")))
        log.warning("botocore's own model of %s is used, for ours makes no client: %r", service, error)
        return found


@cache
def _loader(models: str) -> Loader:
    loader = create_loader(os.environ.get("AWS_DATA_PATH"))
    if models:
        loader.search_paths.insert(0, models)
    _forget_others(loader.load_data("endpoints"))
    return loader


def _session(loader: Loader) -> Session:
    session = get_session()
    session.register_component("data_loader", loader)
    return session


def _forget_others(endpoints: Any) -> None:
    """In place: it is the loader's own copy. An unknown service gets its endpoint by its partition's pattern."""
    for partition in endpoints["partitions"]:
        partition["services"] = {name: found for name, found in partition["services"].items() if name in SERVICES}
