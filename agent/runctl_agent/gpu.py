"""What NVML tells of the GPUs, where there are some and its library is installed (extra `gpu`)."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gpus:
    """Of all of them: the mean utilisation in percent, the bytes used, and the hottest in degrees Celsius.

    None: none of them tells; NVML has no utilisation of a GPU that is divided (MIG).
    """

    utilisation: int | None
    memory: int | None
    heat: int | None


class Nvml:
    """nvidia-ml-py, loaded at the first look; a machine without GPUs is asked once."""

    def __init__(self) -> None:
        self._library: Any = None
        self._asked = False

    def look(self) -> Gpus | None:
        """None: there are none, or they can't be asked."""
        if not self._asked:
            self._asked = True
            self._library = _loaded()
        if self._library is None:
            return None
        try:
            return _measured(self._library)
        except Exception as error:  # noqa: BLE001 - NVMLError is the library's own, and none of them matters to a training
            log.debug("the GPUs can't be asked: %s", error)  # the next look tries again: a driver may be reset
            return None


def _loaded() -> Any:
    try:
        library = importlib.import_module("pynvml")
        library.nvmlInit()
    except ImportError:
        return None
    except Exception as error:  # noqa: BLE001 - as above: NVMLError_LibraryNotFound on a machine without a driver
        log.info("no GPU is measured: %s", error)
        return None
    return library


def _measured(nvml: Any) -> Gpus | None:
    handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
    used = _each(nvml, handles, lambda one: nvml.nvmlDeviceGetUtilizationRates(one).gpu)
    memory = _each(nvml, handles, lambda one: nvml.nvmlDeviceGetMemoryInfo(one).used)
    heat = _each(nvml, handles, lambda one: nvml.nvmlDeviceGetTemperature(one, nvml.NVML_TEMPERATURE_GPU))
    if not used and not memory and not heat:
        return None
    mean = min(100, sum(used) // len(used)) if used else None
    return Gpus(mean, sum(memory) if memory else None, max(heat, default=None))


def _each(nvml: Any, handles: list[Any], ask: Callable[[Any], Any]) -> list[int]:
    """What each tells; one that can't tell this tells nothing."""
    found = []
    for handle in handles:
        with suppress(nvml.NVMLError):
            found.append(max(0, int(ask(handle))))
    return found
