"""What is committed: checkpoints, pull, prune."""

from __future__ import annotations

from typing import Annotated

import typer

from runctl import options
from runctl.app import confirm, note, put, say
from runctl.documents import Checkpoints
from runctl.options import Destination, Json, Run, Timeout, seconds


def checkpoints(
    run: Run,
    verify: Annotated[bool, typer.Option("--verify", help="Ask S3 for each object again: its size and checksum.")] = False,
    exact: options.Exact = False,
    wide: options.Wide = False,
    destination: Destination = "",
    as_json: Json = False,
) -> None:
    """What is committed, the newest first.

    SENT went to S3 for it, SAVED was there already; complete: whole when it was taken, so that it can be resumed from.
    """
    from runctl.checkpoints import in_s3, listing, looked_at
    from runctl.moment import Moments
    from runctl.render import table
    from runctl.session import Session
    from runctl.tables import CHECKPOINTS, checkpoints_rows, exactly

    session = Session(destination)
    name, shelf = session.shelf(run)
    found = listing(shelf, name, session.runtime)
    rows = in_s3(shelf, name, found.ranked)
    rows = looked_at(shelf, name, rows, session.runtime) if verify else rows
    for key, reason in found.malformed:
        note(f"{key} can't be read: {reason}")
    for row in rows:
        if row.missing:
            note(f"{row.manifest.checkpoint} of epoch {row.manifest.epoch}: S3 has not, or not so: {', '.join(row.missing)}")
    if as_json:
        unreadable = [list(one) for one in found.malformed]
        put(Checkpoints(run=name, checkpoints=[one.plain() for one in rows], unreadable=unreadable))
    elif rows:
        when = Moments(session.now(), exact)
        table(exactly(CHECKPOINTS, when), checkpoints_rows(rows, when), wide=wide)
    else:
        say(f"{name} has no checkpoints yet")


def pull(
    run: Run,
    to: Annotated[str, typer.Argument(metavar="DEST", help="Default: ./<run>.", show_default=False)] = "",
    checkpoint: Annotated[str, typer.Option("--checkpoint", metavar="NAME", help="Default: the newest that verifies.")] = "",
    destination: Destination = "",
    as_json: Json = False,
) -> None:
    """Bring a checkpoint here, verified.

    Given again after it was interrupted, it fetches only what is missing; what stands in its place is never overwritten.
    """
    from runctl.checkpoints import plain_restored
    from runctl.checkpoints import pull as pulled
    from runctl.render import arriving_bar, restored_text
    from runctl.session import Session

    session = Session(destination)
    name, shelf = session.shelf(run)
    target = to or name
    with arriving_bar() as told:
        restored = pulled(shelf, name, session.runtime, destination=target, checkpoint=checkpoint, progress=told)
    for passed in restored.passed_by:
        note(f"passed by {passed.checkpoint}: {passed.reason}")
    put(plain_restored(name, restored)) if as_json else say(restored_text(restored, target))


def prune(
    run: Run,
    destination: Destination = "",
    dry_run: options.Shown = False,
    yes: options.Yes = False,
    timeout: Timeout = options.TIMEOUT,
    as_json: Json = False,
) -> None:
    """Delete what the run's retention lets go.

    By its agent while one lives, else from here.
    """
    from runctl.render import pruning_text
    from runctl.session import Session

    limit = seconds("--timeout", timeout)
    command = Session(destination).prune(run)
    found = command.plan()
    if found.something and not dry_run:
        note(pruning_text(found))
        if not yes and not confirm("delete that?", "--yes deletes without asking, --dry-run shows what would go"):
            note("nothing was deleted")
            return
        found = command.carry_out(found, limit)
    put(found.plain()) if as_json else say(pruning_text(found))
