"""GPUs by NVML: the real library's names, behind a module that stands in for it, and machines without any."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from runctl_agent.gpu import Gpus, Nvml


def module(count: int, *, fails: str = "") -> ModuleType:
    made = ModuleType("pynvml")

    def fail() -> None:
        raise RuntimeError(fails)

    vars(made).update(
        nvmlInit=fail if fails else lambda: None,
        nvmlDeviceGetCount=lambda: count,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=50 + 10 * handle),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=1000),
        nvmlDeviceGetTemperature=lambda handle, sensor: 60 + handle,
        NVML_TEMPERATURE_GPU=0,
        NVMLError=RuntimeError,
    )
    return made


def test_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module(2))
    assert Nvml().look() == Gpus(55, 2000, 61)


@pytest.mark.parametrize("made", [None, module(0), module(1, fails="NVMLError_LibraryNotFound")])
def test_none(monkeypatch: pytest.MonkeyPatch, made: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", made)
    nvml = Nvml()
    assert (nvml.look(), nvml.look()) == (None, None)


def test_one_that_is_divided_has_no_utilisation(monkeypatch: pytest.MonkeyPatch) -> None:
    divided = module(2)

    def not_supported(handle: int) -> SimpleNamespace:
        if handle:
            return SimpleNamespace(gpu=30)
        raise RuntimeError("Not Supported")

    vars(divided)["nvmlDeviceGetUtilizationRates"] = not_supported
    monkeypatch.setitem(sys.modules, "pynvml", divided)
    assert Nvml().look() == Gpus(30, 2000, 61)


def test_what_fails_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made, lost = module(1), [True]

    def count() -> int:
        if lost:
            raise RuntimeError("GPU is lost")
        return 1

    vars(made)["nvmlDeviceGetCount"] = count
    monkeypatch.setitem(sys.modules, "pynvml", made)
    nvml = Nvml()
    assert nvml.look() is None
    lost.clear()
    assert nvml.look() == Gpus(50, 1000, 60)
