"""`processor run` in a process of its own, for proofs that harm it and look at it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from processor.entrypoints.demo.process import free_port, leash

INHERITED = ("PATH", "HOME", "LANG", "PYTHONPATH")
"""Settings of a real service in somebody's shell must not reach this one. PYTHONPATH is how a
changed copy of the source is judged in place of the installed one."""

ANSWER_WITHIN_S = 2.0


class NotReady(Exception):
    """A service is not what it has to be. The sentence ends with its last words."""


class Service:
    """One instance under its name, life after life. `settings` go over those that are here; what
    it says is in `folder`, which also keeps its locks from other runs'."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, str]) -> None:
        self.name = name
        self.port = free_port()
        self._log = folder / f"{name}.log"
        self._log.touch()
        self._settings = {
            "INSTANCE_ID": name,
            "ROLES": "ingest",
            "METRICS_HOST": "127.0.0.1",
            "METRICS_PORT": str(self.port),
            "TMPDIR": str(folder),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin a life; from the main thread, for that is what the kernel ties it to."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*leash(), sys.executable, "-m", "processor", "run"],
                env=inherited | self._settings,
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it was never started"
        return self._process

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, if it lives; also a stopped one dies of it."""
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 while nobody answers."""
        address = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(address, timeout=ANSWER_WITHIN_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def metric(self, name: str, **labels: str) -> float:
        """The value of `processor_{name}`, the sum of those with these labels; 0 if it has none."""
        total = 0.0
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        for line in self.get("/metrics")[1].splitlines():
            sample, _, value = line.rpartition(" ")
            series, _, said = sample.partition("{")
            if series == f"processor_{name}" and all(label in said for label in wanted):
                total += float(value)
        return total

    def said(self) -> Iterator[dict[str, Any]]:
        """Its log lines; the one in which it was killed is left out."""
        for line in self._log.read_text(errors="replace").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])

    def wait_until_ready(self, within_s: float) -> None:
        """Raises NotReady if it ends, or takes longer."""
        deadline = time.monotonic() + within_s
        while not self.ready():
            if (code := self.process.poll()) is not None:
                raise NotReady(f"{self.name} ended with {code}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} is not ready: {self.last_words()}")
            time.sleep(0.02)
