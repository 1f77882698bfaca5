"""The process of one attempt: `python -m services.trainer.engine.driver FOLDER`.

It says what happens as lines of JSON on the file descriptor that BMASE_EVENTS names, and ends with whoever started it:
when its standard input is closed. Without BMASE_EVENTS it says it on standard output, and evaluates without a go.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from bmase.training import Product

from services.trainer.data import Manifest
from services.trainer.engine import bundle, locks, packing, sources
from services.trainer.engine.attempt import (
    EVENTS,
    LOCK,
    Attempt,
    Evaluated,
    Gate,
    Go,
    Kept,
    Logged,
    Measured,
    Prepared,
    Said,
    Trained,
    write_line,
)
from services.trainer.engine.blobs import Blobs
from services.trainer.engine.calling import CodeFailedError, failure, find_code
from services.trainer.engine.run import ALL_FOR_TRAINING
from services.trainer.jobs.state import Outcome
from services.trainer.recipes.recipe import Place
from services.trainer.reproduce.machine import observe_lock
from services.trainer.reproduce.made import CODE, SERIES, write_series
from services.trainer.reproduce.observe import Worker, observe, plan_of, splits_of
from services.trainer.reproduce.packages import Lock
from services.trainer.reproduce.record import Record
from services.trainer.reproduce.requirements import with_archives
from services.trainer.reproduce.verdict import REPRODUCES

RUN_BY = ("services.trainer.engine.run",)


class Driver:
    """One attempt from its beginning to its end."""

    def __init__(self, folder: Path, out: BinaryIO, goes: Iterable[bytes]) -> None:
        self._folder, self._out, self._goes = folder, out, iter(goes)
        self._attempt = Attempt.read(folder)
        self._blobs = Blobs(self._attempt.blobs)
        self._lock = threading.Lock()
        self._series: dict[str, dict[int, float]] = {}

    def tell(self, *said: Said) -> None:
        with self._lock:
            self._out.write(b"".join(map(write_line, said)))
            self._out.flush()

    def listen(self, said: Sequence[Said]) -> None:
        for each in said:
            if isinstance(each, Measured):
                for name, value in each.values.items():
                    self._series.setdefault(name, {})[each.step] = value
        self.tell(*said)

    def run(self) -> int:
        try:
            self._run()
        except CodeFailedError as error:
            self.tell(error.failed)
            return 1
        except Exception as error:
            self.tell(failure(error))
            return 1
        return 0

    def _run(self) -> None:
        find_code(self._attempt)
        manifests = sources.known(self._attempt, self._blobs, self._folder)
        product = self._attempt.product
        self.tell(Prepared())
        if product is None:
            product, worker = self._train(manifests)
            self._keep_record(product, manifests, worker)
            self.tell(Trained(product=product))
        self._evaluate(product, manifests, self._go())

    def _train(self, manifests: Mapping[str, Manifest]) -> tuple[Kept, str]:
        began = time.time()
        if self._attempt.place is Place.ALONE:
            from services.trainer.engine import alone  # noqa: PLC0415

            return alone.train(self._attempt, manifests, self._folder, self.listen)
        from services.trainer.engine import onray  # noqa: PLC0415  Ray only where it is used

        sent = bundle.send(self._attempt, self._blobs, self._folder)
        outcome = onray.train(sent, manifests, self.listen)
        if outcome.failed is not None:
            raise CodeFailedError(outcome.failed)
        assert outcome.product is not None
        self.tell(Logged(time=time.time(), text=f"trained in {time.time() - began:.1f} s"))
        return outcome.product, outcome.worker

    def _keep_record(self, product: Kept, manifests: Mapping[str, Manifest], worker: str) -> None:
        """Beside the product: another attempt may be the one that evaluates."""
        record = observe(
            self._attempt.spec,
            manifests,
            worker=Worker.model_validate_json(worker),
            bundle=self._attempt.code,
            run_by=RUN_BY,
            environment=self._environment(),
            resumed_at=None if self._attempt.checkpoint is None else self._attempt.checkpoint.step,
        )
        file = self._folder / "record.json"
        file.write_text(record.to_json())
        self._blobs.put(_record_key(product), file)
        if self._attempt.checkpoint is None:  # otherwise they are only a part of the whole
            series = self._folder / SERIES
            series.write_text(write_series(self._series))
            self._blobs.put(_series_key(product), series)

    def _environment(self) -> Lock:
        """What this runs in, read file by file; of a lock with the archives from which it can be installed again."""
        here = observe_lock(checked=self._folder.parent.parent / "packages.json")
        if self._attempt.lock is None:
            return here
        given = locks.read(self._attempt.lock.read_bytes())
        return with_archives(here, {package.pin: package.archives for package in given.packages})

    def _keep_for_again(self, product: Kept, out: Path) -> None:
        """What a reproduction needs beside the record: series to find where it parts, and the code of users."""
        if self._blobs.exists(_series_key(product)):
            (out / SERIES).write_bytes(self._blobs.read(_series_key(product)))
        if self._attempt.lock is not None:
            (out / LOCK).write_bytes(self._attempt.lock.read_bytes())
        if self._attempt.code is not None:
            packing.pack_folder(self._attempt.code, out / CODE)

    def _go(self) -> Go:
        line = next(self._goes, b"")
        return Go.model_validate_json(line) if line.strip() else Go()

    def _evaluate(self, product: Kept, manifests: Mapping[str, Manifest], go: Go) -> None:
        from services.trainer.engine import judging  # noqa: PLC0415  scipy, matplotlib, onnxruntime

        folder, out = self._folder / "product", self._folder / "evidence"
        packed = self._folder / "product.tar"
        self._blobs.get(product, packed)
        packing.unpack(packed, folder)
        out.mkdir()
        record = Record.from_json(self._blobs.read(_record_key(product)))
        splits = splits_of(self._attempt.spec.split) or ALL_FOR_TRAINING
        stable = judging.Stable(go.stable_version, go.stable.folder) if go.stable else None
        product_made = packing.unpacked(folder)
        judged = judging.judge(
            self._attempt,
            product_made,
            manifests=manifests,
            splits=splits,
            record=record,
            stable=stable,
            out=out,
        )
        self._keep_for_again(product, out)
        evidence = self._folder / "evidence.tar"
        packing.pack_folder(out, evidence)
        kept = self._blobs.replace(product.key.replace("/product-", "/evidence-"), evidence)
        verdict = conclusion(product_made)
        gates = (*judged.gates, verdict) if verdict else judged.gates
        self.tell(
            Evaluated(
                evidence=kept,
                gates=gates,
                metrics=dict(judged.metrics or {}),
                registers=verdict is None,
                sentence=verdict.message if verdict else "",
            )
        )


def _record_key(product: Kept) -> str:
    return product.key.replace("/product-", "/record-").removesuffix(".tar") + ".json"


def _series_key(product: Kept) -> str:
    return product.key.replace("/product-", "/series-").removesuffix(".tar") + ".json"


def conclusion(product: Product) -> Gate | None:
    """Of a product that is no version but the verdict on one."""
    note = product.notes.get(REPRODUCES)
    if not isinstance(note, Mapping):
        return None
    outcome = Outcome.PASSED if note["passed"] else Outcome.FAILED
    return Gate(gate=f"reproduces {note['version']}", outcome=outcome, message=str(note["sentence"]))


def environment(attempt: Attempt) -> dict[str, str]:
    """What numeric libraries read only when they start."""
    return plan_of(attempt.spec).environment


def _follow(lines: BinaryIO, goes: list[bytes], come: threading.Condition) -> None:
    for line in lines:
        with come:
            goes.append(line)
            come.notify()
    os._exit(3)  # whoever started this is gone


class _Goes:
    """Lines of standard input, waited for; reading goes on meanwhile, so that its end is seen at once."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines: list[bytes] = []
        self._come = threading.Condition()
        threading.Thread(target=_follow, args=(lines, self._lines, self._come), daemon=True).start()

    def __iter__(self) -> _Goes:
        return self

    def __next__(self) -> bytes:
        with self._come:
            while not self._lines:
                self._come.wait()
            return self._lines.pop(0)


def main() -> int:
    folder = Path(sys.argv[1]).absolute()
    tempfile.tempdir = str(folder)
    number = os.environ.pop(EVENTS, "")
    if not number:
        return Driver(folder, sys.stdout.buffer, ()).run()
    with os.fdopen(int(number), "wb") as out:
        return Driver(folder, out, _Goes(sys.stdin.buffer)).run()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Libraries that were loaded by a job may hang or crash when they are taken down; what is told is told.
    os._exit(code)
