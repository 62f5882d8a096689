"""What every stage knows, put together for the report."""

from __future__ import annotations

from collections.abc import Iterable

from .attend import Attendant
from .errors import RunctlError
from .gather import Gatherer
from .life.conductor import Conductor
from .publish import Publisher
from .reaching import Reaching
from .report import Facts
from .sender import Sender
from .training.state import refusal
from .vitals import Measured


def facts_of(
    attendant: Attendant,
    conductor: Conductor,
    gatherer: Gatherer,
    publisher: Publisher,
    sender: Sender | None,
    reaching: Reaching,
    *,
    untold: RunctlError | None,
    watching: Iterable[str],
    shipping: Iterable[str],
    at_risk: str,
    measured: Measured,
) -> Facts:
    """`sender`: None until S3 was reached. `untold`: why the training can't be looked at. `watching`: the watcher's problems."""
    conduct = conductor.conduct()
    troubles = [*gatherer.problems(), *conduct.problems]
    if conduct.trouble is not None:
        troubles.append(str(conduct.trouble))
    if untold is not None:
        troubles.append(str(untold))
    if sender is not None and sender.pruning is not None and sender.pruning.problem:
        troubles.append(sender.pruning.problem)
    drops = sender.drops if sender is not None else 0
    busy = sender is not None and sender.busy  # asked first: what it drops is the gatherer's before it says so
    return Facts(
        verdict=attendant.verdict,
        trainer_pid=attendant.process.pid if attendant.process is not None else None,
        quiet=not busy and gatherer.quiet,
        epoch=sender.epoch if sender is not None else 0,
        refused=_refused(conductor, gatherer, publisher, sender, reaching),
        fenced=sender.fenced if sender is not None else "",
        disk_full=gatherer.disk_full,
        incomplete=sender.incomplete if sender is not None else "",
        last_error=_last_error(sender, reaching),
        conduct=conduct,
        failures=sender.failures if sender is not None else reaching.failures,
        retry_at=sender.retry_at if sender is not None else reaching.retry_at,
        problems=(*troubles, *watching, *shipping, *attendant.problems, *map(str, publisher.problems()), *conductor.unmet),
        at_risk=at_risk,
        measured=measured,
        steady=lambda: sender is None or sender.drops == drops,
    )


def _last_error(sender: Sender | None, reaching: Reaching) -> str:
    if reaching.error is not None:
        return str(reaching.error)
    return sender.last_error if sender is not None else ""


def _refused(conductor: Conductor, gatherer: Gatherer, publisher: Publisher, sender: Sender | None, reaching: Reaching) -> str:
    """What someone has to mend: S3, EC2 or a directory refuses the agent."""
    if reaching.error is not None:
        return refusal(reaching.error)
    if sender is not None and sender.refused:
        return sender.refused
    if sender is not None and sender.pruning is not None and sender.pruning.refused:
        return sender.pruning.refused
    if preparing := refusal(conductor.conduct().trouble):
        return preparing
    denied = [problem.error for problem in publisher.problems() if problem.denied]
    return refusal(denied[0]) if denied else gatherer.refused
