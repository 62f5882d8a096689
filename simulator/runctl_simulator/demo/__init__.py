"""`runctl-demo`: a training is launched, its machine is taken back, then lost, and nothing that was saved is lost.

All of it on this machine: a simulated EC2, a real S3 server, the real agent and the real `runctl`. No privileges, nothing to
install by hand, nothing left behind.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from runctl_agent.errors import RunctlError


def main() -> None:
    """The entry point: 0 all of it is true, 1 it is not, 2 usage, 128 and more ended by a signal."""
    parser = argparse.ArgumentParser(prog="runctl-demo", description=(__doc__ or "").partition("\n")[2].strip())
    parser.add_argument("--keep", action="store_true", help="leave the cloud running, to try runctl on it")
    parser.add_argument("--seed", type=int, default=1, help="of the training")
    parser.add_argument("--end", type=Path, metavar="DIR", help="end a demo that was kept, and delete its folder")
    options = parser.parse_args()
    if lacks := _lacks():
        sys.exit(f"runctl-demo can't run: {lacks}")
    try:
        if options.end is not None:
            from .kept import end

            end(options.end)
        else:
            from .showing import show

            sys.exit(show(options.seed, kept=options.keep))
    except RunctlError as error:
        print(error.full, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # before there was anything to clean up
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _lacks() -> str:
    """What must be there and isn't; empty: nothing."""
    if sys.platform != "linux":
        return "its machines are processes of Linux"
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists() or any(importlib.util.find_spec(name) is None for name in ("moto", "flask")):
        return "its extra is not installed: pip install 'runctl[demo]'"
    return ""
