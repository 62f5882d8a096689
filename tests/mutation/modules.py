"""What is mutated, and before which tests."""

from __future__ import annotations

PACKAGE = "runctl_agent"

LEFT_OUT = (
    "tests/unit/test_departed.py::test_a_long_run_keeps_little_of_what_rotation_took",
    "tests/unit/test_settle.py::test_hints_nobody_asks_for_are_bounded",
)
"""What takes seconds and tells of memory only."""

_SETTLED = (
    "unit/test_settle.py",
    "unit/test_verdict.py",
    "unit/test_looks.py",
    "unit/test_departed.py",
    "faults/test_rewritten_checkpoint.py",
    "faults/test_two_rank_checkpoint.py",
    "faults/test_rotated_checkpoint.py",
    "faults/test_growing_checkpoint.py",
)
_SPEC = ("contract/test_spec.py", "unit/test_config.py", "unit/test_config_properties.py")

TESTS: dict[str, tuple[str, ...]] = {
    "disk.settle": _SETTLED,
    "disk.verdict": _SETTLED,
    "training.deadline": ("unit/test_deadline.py", "unit/test_risk.py"),
    "store.commit": (
        "unit/test_commit.py",
        "unit/test_commit_fenced.py",
        "unit/test_lineage.py",
        "unit/test_crash_loop.py",
        "unit/test_epoch.py",
    ),
    "training.state": ("unit/test_state.py", "unit/test_opening.py"),
    "contract.document": (
        "contract/test_document.py",
        "contract/test_limits.py",
        "contract/test_manifest.py",
        "contract/test_status.py",
    ),
    "contract.files": ("contract/test_limits.py", "contract/test_manifest.py"),
    "contract.gc": ("contract/test_gc.py",),
    "contract.history": ("contract/test_history.py", "unit/test_history.py"),
    "contract.keys": ("unit/test_keys.py", "contract/test_gc.py", "unit/test_shipping_properties.py", "unit/test_pins.py"),
    "contract.malformed": ("contract/test_limits.py",),
    "contract.manifest": ("contract/test_manifest.py", "contract/test_rank.py"),
    "contract.names": ("contract/test_limits.py", "contract/test_manifest.py", "unit/test_keys.py", *_SPEC),
    "contract.options": ("contract/test_limits.py", *_SPEC),
    "contract.phases": ("contract/test_status.py", "unit/test_state.py"),
    "contract.pieces": ("unit/test_pieces.py", "unit/test_shipping_properties.py"),
    "contract.registry": ("unit/test_login.py",),
    "contract.settings": _SPEC,
    "contract.slots": ("contract/test_tags.py", "unit/test_slots.py"),
    "contract.spec": _SPEC,
    "contract.status": ("contract/test_status.py", "contract/test_tags.py"),
    "contract.summary": ("contract/test_status.py",),
    "contract.tags": ("contract/test_limits.py", "contract/test_tags.py"),
    "contract.units": ("contract/test_spec.py", "unit/test_config.py"),
    "contract.unmet": ("contract/test_unmet.py",),
    "contract.want": ("contract/test_want.py",),
}
