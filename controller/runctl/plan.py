"""A launch that was checked, with what it would cost: nothing is uploaded, written or spent yet. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from runctl_agent.contract.spec import Spec
from runctl_agent.contract.summary import size

from . import documents
from .bundle import Bundle
from .image import Image
from .launched import Launched
from .offer import Offer, dollars, line

REQUEST = "--json shows the request to the letter"


@dataclass(frozen=True, slots=True)
class Plan:
    """`bundle` None: the code of the launch before. `remarks`: what could not be checked, and what is to be known."""

    spec: Spec
    launched: Launched
    image: Image
    request: dict[str, Any]
    offers: tuple[Offer, ...]
    remarks: tuple[str, ...]
    bundle: Bundle | None = None

    def plain(self) -> documents.Planned:
        plain: documents.Planned = {
            "run": self.spec.run,
            "destination": self.spec.destination,
            "request": self.request,
            "costs": [offer.plain(spot=self.launched.spot) for offer in self.offers],
            "unknown": list(self.remarks),
        }
        if self.bundle is not None:
            plain["code"] = {
                "url": self.spec.training.code,
                "files": self.bundle.files,
                "bytes": self.bundle.bytes,
                "left_out": [list(one) for one in self.bundle.left_out],
            }
        return plain

    @property
    def cost(self) -> str:
        """One line for people."""
        return line(self.offers, spot=self.launched.spot)

    def text(self) -> str:
        """For people, one line for each thing that they may want otherwise."""
        rows = [row for row in self._rows() if row[1]]
        width = max(len(name) for name, _ in rows)
        said = "\n".join(f"  not known: {one}" for one in self.remarks)
        body = "\n".join(f"  {name.ljust(width)}  {value}" for name, value in rows)
        end = f"nothing was spent, uploaded or written; {REQUEST}"
        return "\n".join(filter(None, [f"{self.spec.run} would be launched:", body, said, end]))

    def _rows(self) -> list[tuple[str, str]]:
        spec, launched, image = self.spec, self.launched, self.image
        code = f"{counted(self.bundle.files)}, {size(self.bundle.bytes)} packed" if self.bundle is not None else ""
        agent = f"agent {image.agent_version}" if image.agent_version else "its tags name no agent"
        hardware = self.offers[0].hardware if self.offers else None
        more = [f"{one.type} ({dollars(one.hourly(spot=launched.spot))} an hour)" for one in self.offers[1:]]
        types = launched.instance_type + (f" ({hardware})" if hardware else "")
        return [
            ("runs", shlex.join(spec.training.command)),
            ("code", code),
            ("to", f"{spec.destination}/{spec.run}/"),
            ("watches", ", ".join(watched.path for watched in spec.checkpoints)),
            ("image", f"{image.id} ({agent}{f', made {image.created[:10]}' if image.created else ''})"),
            ("instance", types),
            ("costs", self.offers[0].text(spot=launched.spot) if self.offers else ""),
            (
                "otherwise",
                ", ".join(more),
            ),
            ("in", f"{launched.region}{f', {launched.subnet}' if launched.subnet else ''}"),
            ("role", launched.profile or "none: the image must bring credentials"),
            ("replaced", "by its group, when it is taken away or lost" if launched.recover else ""),
            ("at the end", f"the instance is {ENDS[spec.on_finish]}"),
        ]


def counted(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"


ENDS = {"keep": "kept, and billed until you end it", "stop": "stopped, its disk is kept", "terminate": "terminated"}
