"""Settings of a run spec that this version of the agent does not carry out: said at the launch, and in the state, so that
nobody relies on them."""

from __future__ import annotations

from .spec import Spec


def unmet(spec: Spec) -> tuple[str, ...]:
    """One sentence for each."""
    found = []
    if spec.isolate_credentials:
        found.append("isolate_credentials is not done by this version: the training has the instance's role")
    return tuple(found)
