"""What NVML tells of the GPUs, where there are some and its library is installed (extra `gpu`)."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gpus:
    """Of all of them: the mean utilisation in percent, the bytes used, and the hottest in degrees Celsius."""

    utilisation: int
    memory: int
    heat: int


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
            log.info("the GPUs can't be asked any more: %s", error)
            self._library = None
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
    used: list[int] = []
    memory = heat = 0
    for number in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(number)
        used.append(int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu))
        memory += int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
        heat = max(heat, int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)))
    return Gpus(min(100, sum(used) // len(used)), memory, max(0, heat)) if used else None
