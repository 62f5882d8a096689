"""The JSON Schema of each command's `--json`: made of documents.py, kept in docs/schemas, and held against real output.

`python -m tests.controller.schemas` writes the files anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from runctl import documents
from runctl.policies import Policy
from runctl.report import Reported
from runctl_agent.contract.status import VERSION, State

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
ERROR = "error"

COMMANDS: Mapping[str, type | UnionType] = {
    "init": documents.Written,
    "config": documents.Settled,
    "doctor": documents.Examined,
    "launch": documents.Launched | documents.Verdict | documents.Planned,
    "resume": documents.Launched | documents.Verdict | documents.Planned,
    "list": documents.Runs,
    "status": documents.Standing,
    "watch": documents.Listed,
    "wait": documents.Verdict,
    "logs": documents.Logs,
    "report": Reported,
    "checkpoints": documents.Checkpoints,
    "pull": documents.Pulled,
    "prune": documents.Pruned,
    "flush": documents.Run,
    "stop": documents.Run,
    "start": documents.Run,
    "terminate": documents.Run,
    "docker-build": documents.Image,
    "iam-agent": Policy,
    "iam-controller": Policy,
    ERROR: documents.Failure,
}
"""What each command prints; of one that prints several documents, one a line, each of them."""


def schema(command: str) -> dict[str, Any]:
    """As it stands in docs/schemas."""
    wanted = COMMANDS[command]
    members = wanted.__args__ if isinstance(wanted, UnionType) else (wanted,)
    found, parts = msgspec.json.schema_components(members, schema_hook=_anything, ref_template="#/$defs/{name}")
    parts = {name: _plain(part) for name, part in parts.items()}
    if any("state" in part.get("properties", {}) for part in parts.values()):
        parts |= _state(parts)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": _title(command)}
    body = found[0] if len(found) == 1 else {"anyOf": list(found)}
    return {**head, **body, "$defs": dict(sorted(parts.items()))}


def check(command: str, document: object) -> None:
    """Raises ValidationError where `document` is not what the command is documented to print: keys beside those, too."""
    _validator(command).validate(document)


@lru_cache
def _validator(command: str) -> Draft202012Validator:
    return Draft202012Validator(_closed(json.loads((FOLDER / f"{command}.json").read_text())))


def _title(command: str) -> str:
    return "what any command prints with --json that fails" if command == ERROR else f"runctl {command.replace('-', ' ')} --json"


def _anything(kind: type) -> dict[str, Any]:
    return {"description": "any JSON"}


def _state(parts: dict[str, Any]) -> dict[str, Any]:
    """The agent's own document: every field is there (contract/status.py)."""
    _, found = msgspec.json.schema_components((State,), ref_template="#/$defs/{name}")
    for part in found.values():
        part["required"] = list(part["properties"]) if "properties" in part else part.get("required", [])
        part.pop("required") if not part["required"] else None
        for value in part.get("properties", {}).values():
            value.pop("default", None)
    state = found["State"]
    state["properties"] = {"version": {"const": VERSION}, **state["properties"]}
    state["required"] = ["version", *state["required"]]
    for part in parts.values():
        if "state" in part.get("properties", {}) and "anyOf" in part["properties"]["state"]:
            part["properties"]["state"] = {"anyOf": [{"$ref": "#/$defs/State"}, {"type": "null"}]}
    return found


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    """Its description in one paragraph."""
    if "description" in part:
        part["description"] = " ".join(part["description"].split())
    return part


def _closed(part: Any) -> Any:
    """The same, of objects with no other keys than those."""
    if isinstance(part, list):
        return [_closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in part.items()}
    return {**closed, "additionalProperties": False} if "properties" in part else closed


def text(command: str) -> str:
    return json.dumps(schema(command), indent=2) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in COMMANDS:
        (FOLDER / f"{name}.json").write_text(text(name))
