"""`runctl.yaml`, what a project launches with where no option and no variable says otherwise: option > environment > file.

It is no run spec: that is one training's (`--config FILE`), goes to the instance, and comes before this file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runctl_agent.contract import options as spec_options
from runctl_agent.contract.document import Reader, Wrong, array, boolean, count, optional, show, text
from runctl_agent.contract.names import line, local_path, matching
from runctl_agent.contract.settings import Mistake, Settings
from runctl_agent.contract.spec import Spec
from runctl_agent.errors import ConfigError
from runctl_agent.yaml_text import YamlText

FILE = "runctl.yaml"
LARGEST = 2**16
"""Bytes of the file."""

REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""The SDK's own variables; the first that is set counts."""

_TYPE = matching(r"[a-z0-9-]+\.[a-z0-9-]+", "an instance type such as g5.xlarge")
_REGION = matching(r"[a-z]{2}(-[a-z]+)+-[0-9]+", "a region such as us-east-1")
_IMAGE = matching(r"ami-[0-9a-f]+", "the id of an image, such as ami-0123456789abcdef0")


def _several(read: Reader[str]) -> Reader[list[str]]:
    """A list, or one alone."""
    many = array(read)
    return lambda value: [read(value)] if isinstance(value, str) else list(many(value))


def _types(value: object) -> str:
    """As `--instance-type` takes them."""
    found = _several(_TYPE)(value.split(",") if isinstance(value, str) and "," in value else value)
    if not found:
        raise Wrong("expected one or more instance types, not an empty list")
    return ",".join(found)


@dataclass(frozen=True, slots=True)
class Setting:
    """`parameter` is the command's own name of it, empty: the SDK's; `example` stands in the file that `init` writes."""

    key: str
    parameter: str
    flag: str
    variables: tuple[str, ...]
    read: Reader[Any]
    example: str
    about: str
    everywhere: bool = False  # every command takes it, not launch alone


SETTINGS = (
    Setting(
        "region",
        "",
        "",
        REGIONS,
        _REGION,
        "us-east-1",
        "Where instances are launched and runs looked for.",
        True,
    ),
    Setting(
        "destination",
        "destination",
        "--destination",
        ("RUNCTL_DESTINATION",),
        spec_options.destination,
        "s3://my-bucket/runs",
        "For checkpoints, logs and code.",
        True,
    ),
    Setting(
        "project", "project", "--project", ("RUNCTL_PROJECT",), spec_options.tag_value, "gpt2", "A tag. Else the folder's name."
    ),
    Setting(
        "instance_type",
        "instance_type",
        "--instance-type",
        ("RUNCTL_INSTANCE_TYPE",),
        _types,
        "[g5.xlarge, g6.xlarge]",
        "One, or several in order.",
    ),
    Setting(
        "gpus",
        "gpus",
        "--gpus",
        ("RUNCTL_GPUS",),
        count,
        "1",
        "A type with fewer GPUs is refused.",
    ),
    Setting(
        "spot",
        "spot",
        "--spot",
        ("RUNCTL_SPOT",),
        boolean,
        "true",
        "Cheaper, and taken away at two minutes' notice.",
    ),
    Setting(
        "recover", "recover", "--recover", ("RUNCTL_RECOVER",), boolean, "true", "A group of one replaces an instance that dies."
    ),
    Setting(
        "image", "ami", "--ami", ("RUNCTL_IMAGE",), _IMAGE, "ami-0123456789abcdef0", "Else the newest own image with an agent."
    ),
    Setting(
        "role",
        "instance_profile",
        "--role",
        ("RUNCTL_INSTANCE_PROFILE",),
        line,
        "runctl-agent",
        "The instance profile, by name or ARN.",
    ),
    Setting(
        "checkpoints",
        "checkpoints",
        "--checkpoints",
        ("RUNCTL_CHECKPOINTS",),
        _several(local_path),
        "[checkpoints]",
        "The folders that are watched.",
    ),
    Setting(
        "on_finish",
        "on_finish",
        "--on-finish",
        ("RUNCTL_ON_FINISH",),
        spec_options.power,
        "terminate",
        "The instance, then: keep, stop or terminate.",
    ),
    Setting(
        "disk",
        "disk",
        "--disk",
        ("RUNCTL_DISK",),
        count,
        "200",
        "GiB of the root volume. Else as the image's.",
    ),
    Setting(
        "subnet",
        "subnet",
        "--subnet",
        ("RUNCTL_SUBNET",),
        line,
        "subnet-0123456789abcdef0",
        "Else the default one.",
    ),
    Setting(
        "security_groups",
        "security_group",
        "--security-group",
        ("RUNCTL_SECURITY_GROUPS",),
        _several(text),
        "[sg-0123456789abcdef0]",
        "Else the default one.",
    ),
    Setting(
        "key_name",
        "key_name",
        "--key-name",
        ("RUNCTL_KEY_NAME",),
        line,
        "my-key",
        "A key pair, to log in by SSH.",
    ),
)


@dataclass(frozen=True, slots=True)
class Defaults:
    """`values` by key, each with its line in the file at `path`; empty: there is none."""

    path: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def where(self, key: str) -> str:
        return f"{_named(self.path)} line {self.lines[key]}"

    def parameters(self, *, launch: bool) -> dict[str, Any]:
        """What a command takes of it, by the names of its parameters."""
        wanted = (one for one in SETTINGS if one.parameter and one.key in self.values and (launch or one.everywhere))
        return {one.parameter: self.values[one.key] for one in wanted}


def find(folder: str) -> str:
    """The nearest runctl.yaml from `folder` upward; empty: there is none."""
    folder = os.path.abspath(folder)
    while not os.path.isfile(path := os.path.join(folder, FILE)):
        above = os.path.dirname(folder)
        if above == folder:
            return ""
        folder = above
    return path


def load(path: str) -> Defaults:
    """Raises ConfigError with every mistake, each with its line."""
    _require_own(path)
    name = _named(path)
    document = YamlText(_text(path, name))
    if not document.readable:
        document.refuse(name)
    mistakes: list[Mistake] = []
    given = Settings(document.value, "", mistakes)
    found = {one.key: given.take(one.key, optional(one.read), None) for one in SETTINGS}
    given.finish()
    document.add([_of_the_spec(mistake) for mistake in mistakes])
    document.refuse(name)
    values = {key: value for key, value in found.items() if value is not None}
    return Defaults(path, values, {key: document.line(key) for key in values})


def nearest() -> Defaults:
    """Of the folder that the command is given in."""
    path = find(os.curdir)
    return load(path) if path else Defaults()


def _named(path: str) -> str:
    """As people see it from here, the shorter way."""
    return min(os.path.relpath(path), os.path.abspath(path), key=len)


def _of_the_spec(mistake: Mistake) -> Mistake:
    """A key of the run spec is no misspelling of one of ours."""
    if not mistake.unknown or mistake.path not in Spec.__dataclass_fields__:
        return mistake
    return Mistake(mistake.path, "unknown key here: it is one of the run spec, a file of its own (runctl launch --config FILE)")


def _text(path: str, name: str) -> str:
    try:
        with open(path, "rb") as file:
            body = file.read(LARGEST + 1)
        if len(body) > LARGEST:
            raise ConfigError(f"{name} can't be read", f"it is larger than {LARGEST} bytes", "runctl init writes a new one")
        return body.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{name} can't be read", error.strerror or str(error), f"chmod u+r {name}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} can't be read", f"it is not UTF-8: {show(str(error))}", "save it as UTF-8") from error


def _require_own(path: str) -> None:
    """In a folder where anybody may write, another one's file could send the code to a bucket of theirs."""
    found, folder = os.stat(path), os.stat(os.path.dirname(path))
    if found.st_uid not in (0, os.getuid()) and folder.st_mode & stat.S_IWOTH:
        why = f"it is another user's, in {os.path.dirname(path)}, where everybody may write"
        raise ConfigError(f"{path} is not believed", why, "work in a folder of your own, or remove it")
