"""How series are made: each exists from the start, and two kinds that prometheus_client lacks.

The latency of an entry is the one number that is taken per entry and not per batch. A Histogram of
prometheus_client costs about a microsecond for each, a tenth of the whole pipeline; sorting the
batch and bisecting once per bucket costs a tenth of that.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

PREFIX = "processor"


class Series:
    """Makes metrics of one label at most, whose values are all known."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each
        self._registry = registry

    def counter(self, name: str, meaning: str, **labels: Sequence[str]) -> Counter:
        counter = Counter(name, meaning, tuple(labels), namespace=PREFIX, registry=self._registry)
        for values in labels.values():
            for value in values:
                counter.labels(value)
        return counter

    def gauge(self, name: str, meaning: str, **labels: Sequence[str]) -> Gauge:
        gauge = Gauge(name, meaning, tuple(labels), namespace=PREFIX, registry=self._registry)
        for values in labels.values():
            for value in values:
                gauge.labels(value)
        return gauge

    def histogram(self, name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(
            name, meaning, namespace=PREFIX, registry=self._registry, buckets=tuple(buckets)
        )


class UncheckedGauge(Collector):
    """A gauge whose name is also that of a counter without its `_total`. The text format knows no
    clash there; the registry does, and so this one tells it no name."""

    def __init__(self, name: str, meaning: str) -> None:
        self._family = name, meaning
        self._value = 0.0

    def set(self, value: float) -> None:
        self._value = value

    def describe(self) -> Iterator[GaugeMetricFamily]:
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(*self._family, value=self._value)


class BulkHistogram(Collector):
    """A histogram that takes a whole batch at once."""

    def __init__(self, name: str, meaning: str, bounds_s: Sequence[float]) -> None:
        self._name = name
        self._meaning = meaning
        self._bounds_s = bounds_s
        self._counts = [0] * len(bounds_s)
        self._total = 0
        self._sum_ms = 0

    def observe(self, began_ms: Sequence[int], ended_ms: int) -> None:
        """Each of these began then (milliseconds since the epoch), and all ended now.

        What began after it ended, because two clocks disagree, took no time.
        """
        ordered = sorted(began_ms)
        count = len(ordered)
        for index, bound_s in enumerate(self._bounds_s):
            # Those that took at most the bound began no earlier than the bound before the end.
            within = count - bisect_left(ordered, ended_ms - bound_s * 1000)
            self._counts[index] += within
        past = bisect_left(ordered, ended_ms)
        self._sum_ms += past * ended_ms - sum(ordered[:past])
        self._total += count

    def collect(self) -> Iterator[HistogramMetricFamily]:
        buckets = [
            (str(float(bound)), float(count))
            for bound, count in zip(self._bounds_s, self._counts, strict=True)
        ]
        yield HistogramMetricFamily(
            self._name,
            self._meaning,
            buckets=[*buckets, ("+Inf", float(self._total))],
            sum_value=self._sum_ms / 1000,
        )
