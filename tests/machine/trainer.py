"""A training that is told what to do by files: it saves once at its start, and then whenever it is asked. Run as a script.

`asked/save`: a checkpoint of so many bytes; `asked/end`: its good end. SIGTERM is answered with a last checkpoint.
"""

import os
import signal
import sys
import time
import zipfile

folder, resumed = os.environ["RUNCTL_CHECKPOINT_DIR"], os.environ["RUNCTL_RESUME_FROM"]
step = int(resumed.rpartition("_")[2].partition(".")[0]) if resumed else 0
told: list[int] = []


def say(*words: object) -> None:
    try:
        print(*words, flush=True)
    except OSError:
        pass  # its log is on the same full disk


def save(size: int) -> None:
    global step  # noqa: PLW0603 - a script
    step += 1
    part = os.path.join(folder, "part.tmp")
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x04N.")
        archive.writestr("a/data/0", os.urandom(size))
    os.replace(part, os.path.join(folder, f"model_step_{step}.pt"))
    say("saved", step)


signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
os.makedirs(folder, exist_ok=True)
os.makedirs("asked", exist_ok=True)
say("resumed from", step)
save(1000)
while not told and not os.path.exists("asked/end"):
    if os.path.exists("asked/save"):
        with open("asked/save") as file:
            size = int(file.read())
        try:
            save(size)
        except OSError as error:  # no room: it trains on
            step -= 1
            os.unlink(os.path.join(folder, "part.tmp"))
            say("not saved:", error)
        os.unlink("asked/save")
    time.sleep(0.02)
if told:
    save(1000)
    sys.exit(128 + told[0])
