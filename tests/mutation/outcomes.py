"""What survived, and what was judged of it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_PLACE = Path("tests", "mutation", "outcomes")
_JUDGED = Path("tests", "mutation", "judged.toml")


@dataclass(frozen=True)
class Outcomes:
    """Of one module. `survivors`: their changes; the same change may stand at several lines of a function."""

    module: str
    mutants: int
    survivors: list[str]

    def unjudged(self) -> list[str]:
        known = judgements(self.module)
        return [change for change in self.survivors if change not in known]

    def write(self) -> None:
        _PLACE.mkdir(parents=True, exist_ok=True)
        (_PLACE / f"{self.module}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, module: str) -> Outcomes:
        return cls(**json.loads((_PLACE / f"{module}.json").read_text()))

    @classmethod
    def there(cls, module: str) -> bool:
        return (_PLACE / f"{module}.json").exists()


def judgements(module: str) -> Mapping[str, str]:
    """Why each of these changes makes no difference that a test should see."""
    judged = tomllib.loads(_JUDGED.read_text()).get("judged", [])
    return {change: one["why"] for one in judged if one["module"] == module for change in one["changes"]}
