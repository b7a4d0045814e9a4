"""What is written from the code: `.env.example`, the tables of docs/OPERATIONS.md, asyncapi.yaml.

A number that is typed into a document is wrong a month later. A test holds the files against what
this module writes; `processor reference` writes them again.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric

from processor.adapters.metrics.ingest import Metrics
from processor.adapters.metrics.live import LiveMetrics
from processor.adapters.metrics.series import PREFIX
from processor.entrypoints.asyncapi import as_yaml
from processor.entrypoints.container import CHECKS, RETRY_REASONS
from processor.entrypoints.exits import Exit
from processor.entrypoints.reading import Declared, declarations
from processor.entrypoints.settings import GROUPS

EXAMPLE = Path(".env.example")
OPERATIONS = Path("docs/OPERATIONS.md")
ASYNCAPI = Path("docs/asyncapi.yaml")

_OPEN_LABELS = {"version", "python"}
"""Labels whose values are no closed set of ours."""


def env_example() -> str:
    """Every setting with its default, ready to be edited; only the required ones are set."""
    lines = ["# Every setting of this version. Written by `processor reference`.", ""]
    for group in GROUPS:
        lines += [f"# ---- {(group.__doc__ or '').strip().rstrip('.')}", ""]
        for _, one in declarations(group):
            lines += [f"# {one.meaning}", f"# {one.kind.name}: {one.kind.allowed}"]
            if one.example:  # without it, nothing or not all of it works
                lines += [f"{one.variable}={one.example}", ""]
            else:
                lines += [f"# default {one.default}: {one.why}", f"#{one.variable}=", ""]
    lines += ["# NAME_FILE instead of NAME reads the value from a file, for any of these.", ""]
    return "\n".join(lines)


def settings_table() -> str:
    """A row per setting, in Markdown."""
    rows = [
        "| variable | type and range | default | meaning | why this default |",
        "|---|---|---|---|---|",
    ]
    for group in GROUPS:
        for _, one in declarations(group):
            default = "required" if one.required else _default(one)
            rows.append(
                f"| `{one.variable}` | {one.kind.name}: {one.kind.allowed} | {default} "
                f"| {one.meaning} | {one.why} |"
            )
    return "\n".join(rows)


def _default(one: Declared) -> str:
    return f"`{one.default}`" if " " not in one.default else one.default


def metrics_table() -> str:
    """A row per metric of ours, in Markdown, taken from the registry itself."""
    rows = ["| metric | type | labels or buckets | meaning |", "|---|---|---|---|"]
    metrics = Metrics(
        version="",
        roles=list(CHECKS),
        dependencies=list(RETRY_REASONS),
        retry_reasons=RETRY_REASONS,
    )
    LiveMetrics(metrics.registry)
    for family in metrics.registry.collect():
        if family.name.startswith(f"{PREFIX}_"):
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            rows.append(
                f"| `{family.name.removeprefix(f'{PREFIX}_')}{suffix}` | {family.type} "
                f"| {_detail(family)} | {family.documentation} |"
            )
    return "\n".join(rows)


def _detail(family: Metric) -> str:
    if family.type == "histogram":
        bounds = [sample.labels["le"] for sample in family.samples if "le" in sample.labels]
        unit = "s: " if family.name.endswith("_seconds") else ""
        return unit + " ".join(f"{float(bound):g}" for bound in bounds if bound != "+Inf")
    values: dict[str, dict[str, None]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            values.setdefault(label, {})[value] = None
    return "; ".join(
        label if label in _OPEN_LABELS else f"{label}: {', '.join(seen)}"
        for label, seen in values.items()
    )


def woven(document: str) -> str:
    """The document with each generated part between its marks written again."""
    for name, table in (("settings", settings_table()), ("metrics", metrics_table())):
        begin, end = f"<!-- {name}: written by `processor reference` -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        part = f"{begin}\n{table}\n{end}"
        document, count = pattern.subn(lambda _, part=part: part, document)  # type: ignore[misc]
        assert count == 1, f"{OPERATIONS} has no place for the {name}"
    return document


def written(directory: Path) -> Iterator[tuple[Path, str]]:
    """(file, what it should hold) for each generated file of the project in `directory`."""
    yield directory / EXAMPLE, env_example()
    operations = directory / OPERATIONS
    yield operations, woven(operations.read_text(encoding="utf-8"))
    yield directory / ASYNCAPI, as_yaml()


def write(directory: str) -> int:
    """Write them all."""
    for path, text in written(Path(directory)):
        path.write_text(text, encoding="utf-8")
    return Exit.DONE
