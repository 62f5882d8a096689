"""Registries of Amazon ECR, by their names ("Amazon ECR private registry", and its endpoints, Amazon ECR User Guide)."""

from __future__ import annotations

import re

_ECR = re.compile(r"([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)")


def ecr(registry: str) -> tuple[str, str] | None:
    """Account and region; None: it is another's.

    >>> ecr("111122223333.dkr.ecr.eu-central-1.amazonaws.com"), ecr("ghcr.io")
    (('111122223333', 'eu-central-1'), None)
    """
    found = _ECR.fullmatch(registry)
    return None if found is None else (found[1], found[2])
