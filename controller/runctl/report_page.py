"""A report as one HTML file: nothing is fetched, nothing runs, and it is readable in light, in dark and on paper."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from runctl_agent.contract.summary import age, size

from .chart import LEFT, WIDTH, Axis, Line, chart, safe, times
from .cost import dollars
from .report import Report, Stretch

STYLE = os.path.join(os.path.dirname(__file__), "report.css")

MOST = 200
"""Rows of a table: a page of thousands of checkpoints is no report."""


def page(report: Report, now: float) -> str:
    axis = Axis(report.began, max(report.ended, report.began + 1))
    taken = [(float(one.ended), "taken", f"attempt {one.attempt}: {one.how}") for one in report.stretches if one.taken]
    lines = report.lines
    with open(STYLE, encoding="utf-8") as file:
        style = file.read()
    pictures = [
        _timeline(report, axis),
        chart(
            "Steps",
            axis,
            [Line("trained", "one", lines["step"]), Line("safe in S3", "two", lines["safe"], steps=True)],
            _count,
            taken,
        ),
        chart("Behind: finished on the disk and not yet in S3", axis, [Line("bytes", "three", lines["behind"])], _bytes, taken),
        chart("Upload rate", axis, [Line("a second", "one", lines["rate"])], _bytes, taken),
        chart("GPU utilisation", axis, [Line("percent", "two", lines["gpu"])], lambda value: f"{value:.0f} %", taken),
        chart("Loss", axis, [Line("as the training says", "one", lines["loss"])], lambda value: f"{value:.3g}", taken),
    ]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{safe(report.run)}: report</title><style>{style}</style></head><body>",
            f"<h1>{safe(report.run)}</h1>",
            f'<p class="sub">{safe(_sentence(report))}. Made {_at(now)} UTC by runctl report; all times are UTC.</p>',
            _figures(report),
            *filter(None, pictures),
            _attempts(report.stretches),
            _checkpoints(report),
            "</body></html>\n",
        ]
    )


def _sentence(report: Report) -> str:
    ended = f", exit code {report.exit_code}" if report.exit_code is not None else ""
    lost = sum(one.taken for one in report.stretches)
    taken = f", taken away {lost} time{'s' * (lost != 1)}" if lost else ""
    return f"{report.phase}{ended}; {_at(report.began)} to {_at(report.ended)}{taken}"


def _figures(report: Report) -> str:
    sent, saved = _bytes(report.sent), _bytes(report.saved)
    found = [
        ("machines", str(len(report.stretches))),
        ("paid for, as heard", age(report.paid)),
        ("checkpoints", f"{report.committed}" + (f" and {report.incomplete} incomplete" if report.incomplete else "")),
        ("sent to S3", sent),
        ("saved by what was there", saved),
        ("most behind", _bytes(report.most_behind)),
    ]
    if report.cost is not None:
        found.append(("instances, about" if not report.bound else "instances, at most (on demand)", dollars(report.cost)))
    return "<dl>" + "".join(f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>" for name, value in found) + "</dl>"


def _timeline(report: Report, axis: Axis) -> str:
    """A bar for each machine, and a dot for each checkpoint."""
    if not report.stretches:
        return ""
    row, height = 18, 18 * len(report.stretches) + 46
    parts = []
    for n, one in enumerate(report.stretches):
        x, width = axis.x(one.began), max(2.0, axis.x(one.ended) - axis.x(one.began))
        kind = "well" if str(one.phase) == "finished" else "taken" if one.taken or str(one.phase) == "failed" else "lives"
        what = safe(f"attempt {one.attempt} on {one.instance or 'this machine'}: {one.how}")
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{8 + n * row}" width="{width:.1f}" height="12"><title>{what}</title></rect>'
        )
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{18 + n * row}" text-anchor="end">attempt {one.attempt}</text>')
    y = 16 + len(report.stretches) * row
    for at, name, complete in report.saves[-2000:]:
        kind = "" if complete else ' class="half"'
        parts.append(f'<circle{kind} cx="{axis.x(at):.1f}" cy="{y}" r="2.5"><title>{safe(f"{name}, {_at(at)}")}</title></circle>')
    parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">commits</text>')
    parts += times(axis, height)
    svg = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Timeline">{"".join(parts)}</svg>'
    return f"<figure><figcaption>Attempts and checkpoints</figcaption>{svg}</figure>"


def _attempts(stretches: Sequence[Stretch]) -> str:
    rows = [
        (
            str(one.attempt),
            one.instance or "-",
            _at(one.began),
            age(one.ended - one.began),
            f"{_some(one.first_step)} to {_some(one.last_step)}",
            _some(one.safe_step),
            one.how,
        )
        for one in stretches[-MOST:]
    ]
    return _table("Attempts", ("attempt", "instance", "began", "lived", "steps", "safe", "ended"), rows, len(stretches))


def _checkpoints(report: Report) -> str:
    rows = [(name, _at(at), "yes" if complete else "no") for at, name, complete in reversed(report.saves[-MOST:])]
    return _table("Checkpoints", ("checkpoint", "committed", "complete"), rows, len(report.saves))


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], of: int) -> str:
    if not rows:
        return ""
    more = f" (the last {len(rows)} of {of})" if of > len(rows) else ""
    heads = "".join(f"<th>{safe(one)}</th>" for one in head)
    body = "".join("<tr>" + "".join(f"<td>{safe(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{safe(title + more)}</h2><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _at(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _some(step: int | None) -> str:
    return "-" if step is None else str(step)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _bytes(value: float) -> str:
    return size(int(value))
