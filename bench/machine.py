"""What a figure was measured on."""

import json
import os
import platform
import resource
import subprocess
import time
from pathlib import Path

import psutil

QUIET = 0.25
"""Load per core, before a run, up to which its figures mean something."""

BUSY = ("user", "nice", "system", "irq", "softirq", "steal")


class Others:
    """How much of the machine was taken by what is none of ours, from when this was made. Children
    count as ours once they have ended."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._foreign_s = _busy_s() - _own_s()

    def share(self) -> float:
        """Of all cores; what the host kept from a virtual machine is counted with it."""
        foreign_s = _busy_s() - _own_s() - self._foreign_s
        return max(0.0, foreign_s / (time.monotonic() - self._begun) / (os.cpu_count() or 1))


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in BUSY))


def _own_s() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} x {_processor_name()}, {memory:.0f} GiB, {platform.system()}"


def busy(load_before: float) -> str:
    """The warning, if other work was under way on the machine before the run; else empty."""
    if load_before <= QUIET * (os.cpu_count() or 1):
        return ""
    return (
        f"**The machine was busy (load {load_before:.1f} before the run): the figures are"
        " only indicative.**"
    )


def node_versions(peer: Path, *names: str) -> list[str]:
    """Node's, and those of the packages that the lock in `peer` names."""
    try:
        said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ["no Node"]
    packages = json.loads((peer / "package-lock.json").read_text())["packages"]
    locked = [f"{name} {packages[f'node_modules/{name}']['version']}" for name in names]
    return [f"Node {said.stdout.strip()}", *locked]


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
