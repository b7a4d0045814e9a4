"""The entries of `make bench` are the producer's, and as many of each kind as was asked for."""

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from processor.core.decode import Decoder
from processor.core.model import Entry

NOW_MS = 1_795_000_000_000


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    # bench/ is not installed and not on the path: it is no part of the service.
    file = Path(__file__).parents[2] / "bench" / "entries.py"
    spec = importlib.util.spec_from_file_location("bench_entries", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_makes_the_same_entries(bench):
    mix = bench.Mix(500, devices=20, duplicates=0.05, late=0.01)
    assert list(bench.entries(mix, NOW_MS)) == list(bench.entries(mix, NOW_MS))
    other = bench.Mix(500, devices=20, duplicates=0.05, late=0.01, seed=1)
    assert list(bench.entries(mix, NOW_MS)) != list(bench.entries(other, NOW_MS))


def test_they_have_the_size_and_the_io_bag_that_the_figures_are_about(bench):
    made = list(bench.entries(bench.Mix(2_000), NOW_MS))
    size = sum(len(name) + len(value) for entry in made for name, value in entry.items())
    assert 400 <= size / len(made) <= 500
    bags = [json.loads(entry["payload"])["attributes"] for entry in made]
    assert {len(bag) for bag in bags} == {15}
    sentinels = Counter(
        key for bag in bags for value in bag.values() if isinstance(value, dict) for key in value
    )
    assert 150 <= sentinels["__bigint"] <= 250
    assert 20 <= sentinels["__buffer_b64"] <= 65


def test_the_shares_of_duplicates_and_late_fixes(bench):
    made = list(bench.entries(bench.Mix(20_000, duplicates=0.05, late=0.01), NOW_MS))
    times = Counter((entry["device_id"], entry["ts"]) for entry in made)
    assert 0.045 <= 1 - len(times) / len(made) <= 0.055
    hour_ago = "2026-11-18T10:06:40.000Z"
    late = sum(ts < hour_ago for _, ts in times)
    assert 0.006 <= late / len(times) <= 0.014


def test_without_shares_every_fix_is_another_one(bench):
    made = list(bench.entries(bench.Mix(20_000), NOW_MS))
    assert len({(entry["device_id"], entry["ts"]) for entry in made}) == len(made)


def test_the_service_accepts_every_one(bench):
    decoder = Decoder()
    for entry in bench.entries(bench.Mix(2_000, duplicates=0.05, late=0.01), NOW_MS):
        fields = {name.encode(): value.encode() for name, value in entry.items()}
        position = decoder.decode(Entry(f"{NOW_MS}-0", fields), NOW_MS)
        assert position.device_id == entry["device_id"]
