"""What a process has, from outside: the kernel's account of it, and its own metrics."""

import time
from collections.abc import Mapping

import psutil

from proof.service import Service
from proof.soak.judging import Sample

MIB = 1 << 20

WATCHED = (
    "live_connections", "live_subscriptions", "in_flight_entries", "consumer_pending",
    "consumer_lag", "device_state_size", "device_state_evictions_total", "consumer_records_total",
    "position_writes_total", "dead_letters_total", "live_messages_sent_total", "retries_total",
    "event_loop_tasks",
)  # fmt: skip


class Scales:
    """Weighs one service. Each weighing is a scrape, too."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._process = psutil.Process(service.process.pid)
        self._began_s = time.monotonic()

    def sample(self) -> Sample:
        memory = self._process.memory_full_info()
        return Sample(
            at_s=time.monotonic() - self._began_s,
            rss_mib=memory.rss / MIB,
            uss_mib=memory.uss / MIB,
            descriptors=self._process.num_fds(),
            threads=self._process.num_threads(),
            metrics=self._metrics(),
        )

    def _metrics(self) -> Mapping[str, float]:
        """The sum of each, over its labels; those that it does not have are left out."""
        found: dict[str, float] = {}
        for line in self._service.get("/metrics")[1].splitlines():
            sample, _, value = line.rpartition(" ")
            name = sample.partition("{")[0].removeprefix("processor_")
            if name in WATCHED:
                found[name] = found.get(name, 0.0) + float(value)
        return found
