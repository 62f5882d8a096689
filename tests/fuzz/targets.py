"""All readers of bytes that others write."""

from __future__ import annotations

from . import controller, documents, files, machine, memory

TARGETS = {
    target.name: target for target in (*documents.TARGETS, *files.TARGETS, *machine.TARGETS, *memory.TARGETS, *controller.TARGETS)
}
