"""The container that a training runs in: docker build."""

from __future__ import annotations

from typing import Annotated

import typer

from runctl.app import note, put, say
from runctl.options import Json


def build(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Default: here.", show_default=False)] = ".",
    tag: Annotated[str, typer.Option("--tag", metavar="NAME[:TAG]", help="Default: runctl/<folder>:<commit>.")] = "",
    push: Annotated[bool, typer.Option("--push", help="To ECR, making the repository; or where --tag says.")] = False,
    file: Annotated[str, typer.Option("--file", metavar="PATH", help="The Dockerfile, where it is not found by itself.")] = "",
    platform: Annotated[str, typer.Option("--platform", metavar="OS/ARCH", help="Default: linux/amd64.")] = "",
    as_json: Json = False,
) -> None:
    """Build the image of a training, and push it."""
    from runctl.building import Asked
    from runctl.building import build as built
    from runctl_agent.contract.summary import size

    done = built(Asked(folder, tag, file, platform, push), note)
    if as_json:
        put(done.plain())
        return
    say(f"{'pushed' if done.pushed else 'built'} {done.image} ({size(done.built.bytes)})")
    if done.pushed:
        note(f"to train in it, in the run spec: training: {{image: {done.pinned}}}")
    else:
        note("an instance can't see it before it is pushed: --push")
