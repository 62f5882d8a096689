"""No pickle is ever loaded: what it would run does not run, and the interpreter never sees one being read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.attack.attacker import Attacker, Target

HOOK = """
import os, sys

def refuse(event, arguments):
    if event.startswith(("pickle.", "marshal.load")) and event != "marshal.loads":
        with open(os.environ["PICKLE_SEEN"], "a") as file:
            file.write(event + "\\n")

sys.addaudithook(refuse)
"""
"""audit events: pickle.find_class (pickle: Restricting Globals); marshal.loads is how .pyc files are read."""

HOSTILE = """
import os, pickle, sys, zipfile

class Runs:
    def __reduce__(self):
        return os.system, (f"touch {sys.argv[1]}",)

body = pickle.dumps({"model": Runs(), "step": 7})
for name in ("a.pkl", "b.bin", "c.pt"):
    open(f"checkpoints/{name}", "wb").write(body)
with zipfile.ZipFile("checkpoints/d.pt", "w") as archive:
    archive.writestr("archive/data.pkl", body)
    archive.writestr("archive/version", "3")
os.mkdir("checkpoints/checkpoint-9")
open("checkpoints/checkpoint-9/optimizer.pt", "wb").write(body)
open("checkpoints/checkpoint-9/model.safetensors", "wb").write((2).to_bytes(8, "little") + b"{}")
open("checkpoints/checkpoint-9/trainer_state.json", "w").write('{"global_step": 9}')
"""


def test_none_is_loaded_on_the_way_there_and_back(target: Target, attacker: Attacker, place: Path) -> None:
    hook = place / "root" / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK)
    seen = place / "root" / "seen"
    target.env |= {"PYTHONPATH": str(hook), "PICKLE_SEEN": str(seen)}
    attacker.runs(HOSTILE, attacker.home / "owned")
    names = ("a.pkl", "b.bin", "c.pt", "d.pt", "checkpoint-9")
    with target.running():
        target.committed(*names)
    for name in names:
        target.command("restore", "--to", str(place / "root" / "back" / name), "--checkpoint", name)
    assert not seen.exists(), seen.read_text()
    assert not (attacker.home / "owned").exists()
    probe = "import os, pickle; pickle.loads(pickle.dumps(os.getcwd))"
    subprocess.run([sys.executable, "-c", probe], env=target.env, check=True)
    assert seen.read_text() == "pickle.find_class\n", "the hook sees one"
