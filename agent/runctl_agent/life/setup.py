"""The setup lines, and after them what the code says itself that it needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from runctl_agent.account import Account
from runctl_agent.contract.spec import Spec
from runctl_agent.training.job import Done, Job, Setup

log = logging.getLogger(__name__)


def set_up(
    spec: Spec, user: Account, env: Mapping[str, str], done: Callable[[Job], Done], says: Callable[[str], None]
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The environment that all of it leaves, and the command that is run in it. Raises what `done` does."""
    training = spec.training
    lines = Setup(user, spec.workdir, env, training.setup, training.log_file, training.command, code=bool(training.code))
    first = done(lines)
    if first.needs is None:
        return first.env, training.command
    for note in first.needs.notes:
        log.info("%s", note)
    if not first.needs.steps:
        return first.env, first.needs.command
    says("; ".join(first.needs.notes))
    try:
        # No login: it would put the PATH that the lines have made in order again.
        further = Setup(user, spec.workdir, first.env, first.needs.steps, training.log_file, login=False)
        return done(further).env, first.needs.command
    finally:
        says("")
