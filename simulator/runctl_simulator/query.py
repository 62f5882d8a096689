"""A request of the EC2 Query API: `Action=CreateTags&ResourceId.1=i-…&Tag.1.Key=…`.

Source: "Make requests to the Amazon EC2 API" (Amazon EC2 Developer Guide).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from .refusal import Refused


@dataclass(frozen=True)
class Query:
    fields: Mapping[str, str]

    @staticmethod
    def parse(body: bytes) -> Query:
        return Query(dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))

    def encode(self, **changes: str) -> bytes:
        return urlencode({**self.fields, **changes}).encode()

    @property
    def action(self) -> str:
        return self.fields.get("Action", "")

    def get(self, name: str, default: str = "") -> str:
        return self.fields.get(name, default)

    def flag(self, name: str) -> bool:
        return self.get(name).lower() == "true"

    def number(self, name: str) -> int | None:
        value = self.get(name)
        return int(value) if value.lstrip("-").isdigit() else None

    def values(self, name: str) -> list[str]:
        """`Name.1`, `Name.2`, … and Auto Scaling's `Name.member.1`."""
        stems = (f"{name}.", f"{name}.member.")
        found = {key: value for key, value in self.fields.items() if key.startswith(stems) and key.rpartition(".")[2].isdigit()}
        return [found[key] for key in sorted(found, key=_last)]

    def structures(self, name: str) -> list[dict[str, str]]:
        """The fields of each `Name.1.Field`, or `Name.member.1.Field`, in order."""
        found: dict[int, dict[str, str]] = {}
        for key, value in self.fields.items():
            if key.startswith(f"{name}."):
                number, _, field_ = key.removeprefix(f"{name}.").removeprefix("member.").partition(".")
                if number.isdigit() and field_:
                    found.setdefault(int(number), {})[field_] = value
        return [found[number] for number in sorted(found)]

    def starts_with(self, prefix: str) -> bool:
        return any(key.startswith(prefix) for key in self.fields)

    def tags(self, prefix: str = "") -> dict[str, str]:
        """Of `<prefix>Tag.N.Key` and `.Value`. Raises Refused for a key given twice."""
        tags: dict[str, str] = {}
        stem = f"{prefix}Tag."
        numbers = {key[len(stem) :].partition(".")[0] for key in self.fields if key.startswith(stem)}
        for number in sorted(numbers, key=lambda text: (len(text), text)):
            key = self.get(f"{stem}{number}.Key")
            if key in tags:
                raise Refused("InvalidParameterValue", f"Duplicate tag key '{key}' specified.")
            tags[key] = self.get(f"{stem}{number}.Value")
        return tags

    def specified_tags(self, prefix: str = "") -> dict[str, dict[str, str]]:
        """Resource type to tags, of `<prefix>TagSpecification.N`."""
        stem = f"{prefix}TagSpecification."
        numbers = {key[len(stem) :].partition(".")[0] for key in self.fields if key.startswith(stem)}
        return {self.get(f"{stem}{n}.ResourceType"): self.tags(f"{stem}{n}.") for n in sorted(numbers)}


def _last(key: str) -> int:
    return int(key.rpartition(".")[2])
