"""Which boot of which machine this is: what was learnt in another one says nothing of processes in this one.

`RUNCTL_BOOT_ID` and `RUNCTL_BOOT_TIME` say it for a machine that shares its kernel, and so the kernel's word, with others: a
container whose restart is its boot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from .errors import ConfigError

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_TIME = re.compile(r"[0-9]{1,10}")


def boot_id(environ: Mapping[str, str] = os.environ, proc: str = "/proc") -> str:
    """The kernel's random id of this boot (random(4)), or what `RUNCTL_BOOT_ID` says. Raises ConfigError."""
    if given := environ.get("RUNCTL_BOOT_ID"):
        return _checked("RUNCTL_BOOT_ID", given, _ID, "1 to 64 of a-z, A-Z, 0-9 and -")
    with open(f"{proc}/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def boot_time(environ: Mapping[str, str] = os.environ) -> int:
    """When this boot began, in whole seconds since the epoch. Raises ConfigError."""
    if given := environ.get("RUNCTL_BOOT_TIME"):
        return int(_checked("RUNCTL_BOOT_TIME", given, _TIME, "whole seconds since 1970"))
    import psutil  # `exec`, which lives as long as the training, has no use for it

    return int(psutil.boot_time())


def _checked(name: str, value: str, shape: re.Pattern[str], expected: str) -> str:
    if not shape.fullmatch(value):
        raise ConfigError(f"{name} can't be used", f"expected {expected}, not {value!r:.80}", f"correct it, or unset {name}")
    return value
