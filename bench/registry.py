"""How near the registry comes to the disk, what it weighs, and how quickly it lists.

    .venv/bin/python -m bench.registry [--gb 2] [--rounds 3]

A registry process of its own (SQLite and files), the SDK's transfer, and a plain local copy take turns on one disk:

- `upload_over_copy`: seconds of a local copy / seconds of an upload; 1 means as fast as copying. Both read the file,
compute
  sha256, write it and wait until it is on the disk (fsync). The upload does more: client and registry both compute the
  digest, and the bytes go through gRPC.
- `download_over_copy`: the same for a download. Neither waits for the disk, as a downloaded file can be had again.
- `server_rss_mb`: the registry's highest resident memory over all of it.
- `resume_after_kill`: an upload whose registry is killed (-9) in the middle goes on where it was, and its content is
right. - `list_p95_ms_10000`: 95th percentile of ListModels and ListVersions calls, seen by the client, at 10,000 models
with a version
  each: all pages, filters on names, labels and metrics, and other orders.

Medians of the rounds. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bmase.progress import Progress
from bmase.registry.v1 import registry_pb2 as pb
from bmase.transfer import Fetch, Transfer

from bench.registry_fill import fill
from tests.support.registry import Registry

BLOCK = 1 << 20
MODELS = 10_000


def source(path: Path, size: int) -> None:
    """A file that does not compress and is no copy of itself."""
    block = os.urandom(64 * BLOCK)
    with path.open("wb") as file:
        for index in range(0, size, len(block)):
            file.write(index.to_bytes(8, "little"))
            file.write(block[8 : min(len(block), size - index)])


def renew(path: Path) -> None:
    """Makes the content another one: the registry would not take the same twice."""
    with path.open("r+b") as file:
        file.write(secrets.token_bytes(16))
    os.sync()


def copy(origin: Path, target: Path, *, durable: bool) -> str:
    """A local copy with sha256; returns the digest."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK))
    with origin.open("rb", buffering=0) as read, target.open("wb", buffering=0) as write:
        while count := read.readinto(block):
            digest.update(block[:count])
            write.write(block[:count])
        if durable:
            os.fsync(write.fileno())
    return f"sha256:{digest.hexdigest()}"


def timed(what: str, work: Callable[[], object]) -> float:
    """Seconds of the work, shown."""
    os.sync()
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    print(f"  {what:<14} {seconds:6.2f} s", flush=True)
    return seconds


def transfers(registry: Registry, folder: Path, size: int, rounds: int) -> dict[str, float]:
    """Copies, uploads and downloads in turns."""
    origin, target = folder / "source", folder / "target"
    source(origin, size)
    seconds: dict[str, list[float]] = {name: [] for name in ("copy_durable", "upload", "copy", "download")}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}, {size / 1e9:.2f} GB", flush=True)
        renew(origin)
        digest = ""

        def durable_copy() -> None:
            nonlocal digest
            digest = copy(origin, target, durable=True)

        seconds["copy_durable"].append(timed("copy+fsync", durable_copy))
        target.unlink()
        with registry.client() as client:
            seconds["upload"].append(timed("upload", lambda c=client: Transfer(c.wire).upload([origin])))  # type: ignore[misc]
            seconds["copy"].append(timed("copy", lambda: copy(origin, target, durable=False)))
            target.unlink()
            fetch = Fetch(digest, size, target)
            seconds["download"].append(timed("download", lambda c=client, f=fetch: Transfer(c.wire).download([f])))  # type: ignore[misc]
        assert copy(target, folder / "check", durable=False) == digest
        for path in (target, folder / "check"):
            path.unlink()
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return {f"{name}_s": round(value, 2) for name, value in middle.items()}


def resumed(registry: Registry, folder: Path, size: int) -> bool:
    """Kills the registry in the middle of an upload and starts it again, while the SDK keeps at it."""
    origin = folder / "source"
    renew(origin)
    starts: list[int] = []
    before = 0

    def listen(progress: Progress) -> None:
        nonlocal before
        if progress.phase == "upload":
            if not starts or not 0 <= progress.done - before <= 2 * BLOCK:
                starts.append(progress.done)
            before = progress.done

    stored: list[str] = []
    with registry.client() as client:
        transfer = Transfer(client.wire, listen)
        upload = threading.Thread(target=lambda: stored.append(transfer.upload([origin])[0].digest))
        upload.start()
        registry.wait_staged(size * 2 // 5)
        registry.kill()
        kept = registry.staged()
        print(f"killed the registry at {kept / size:.0%}", flush=True)
        registry.start()
        upload.join(300)
    if not stored:
        return False
    artefact = registry.stub.GetArtefact(pb.GetArtefactRequest(digest=stored[0]))
    running = hashlib.sha256()
    for message in registry.stub.ReadArtefact(pb.ReadArtefactRequest(digest=stored[0])):
        running.update(message.data)
    print(f"went on at {', '.join(f'{start / size:.0%}' for start in starts[1:])}", flush=True)
    return (
        min(starts[1:], default=0) == kept
        and artefact.size_bytes == size
        and f"sha256:{running.hexdigest()}" == stored[0]
    )


def listed(registry: Registry) -> dict[str, float]:
    """Milliseconds of every list call."""
    stub = registry.stub
    took: dict[str, list[float]] = {}

    def walk(name: str, method: Callable[[object], object], make: Callable[[str], object], most: int = 60) -> None:
        token, times = "", took.setdefault(name, [])
        for _ in range(most):
            began = time.perf_counter()
            answer = method(make(token))
            times.append((time.perf_counter() - began) * 1000)
            token = answer.next_page_token  # type: ignore[attr-defined]
            if not token:
                return

    def models(**asked: str) -> Callable[[str], object]:
        return lambda token: pb.ListModelsRequest(page_token=token, page_size=50, **asked)  # type: ignore[arg-type]

    def versions(**asked: str) -> Callable[[str], object]:
        return lambda token: pb.ListVersionsRequest(parent="models/-", page_token=token, page_size=50, **asked)  # type: ignore[arg-type]

    walk("models", stub.ListModels, models(), 300)
    walk("models by time", stub.ListModels, models(order_by="update_time desc"))
    walk("models by label", stub.ListModels, models(filter='labels.team="team-7"'))
    walk("models by prefix", stub.ListModels, models(filter='name:"model-009*"'))
    walk("models by text", stub.ListModels, models(filter='description:"number 99"'))
    walk("models by alias", stub.ListModels, models(filter="alias:stable"))
    walk("versions", stub.ListVersions, versions(), 300)
    walk("versions by metric", stub.ListVersions, versions(order_by="metrics.accuracy desc"))
    walk("versions above", stub.ListVersions, versions(filter="metrics.accuracy>0.95 AND labels.team=team-3"))
    for name, times in took.items():
        p95 = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
        print(f"  {name:<20} {len(times):4d} calls, p95 {p95:6.2f} ms", flush=True)
    every = [one for times in took.values() for one in times]
    return {"list_p95_ms_10000": round(statistics.quantiles(every, n=20)[-1], 2), "list_calls": len(every)}


def main() -> None:
    """Runs everything in a scratch folder on the disk of the checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    size = int(asked.gb * 2**30)
    scratch = Path("bench/results")
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="registry-", dir=scratch)).absolute()
    try:
        with Registry(folder) as registry:
            figures: dict[str, object] = dict(transfers(registry, folder, size, asked.rounds))
            rss = registry.rss_mb(peak=True)
            ok = resumed(registry, folder, size)
            rss = max(rss, registry.rss_mb(peak=True))
            registry.stop()
            print(f"filling {MODELS} models", flush=True)
            fill(registry.data / "registry.db", MODELS)
            registry.start()
            lists = listed(registry)
            rss = max(rss, registry.rss_mb(peak=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = {name: float(str(value)) for name, value in figures.items()}
    result = {
        "upload_over_copy": round(seconds["copy_durable_s"] / seconds["upload_s"], 2),
        "download_over_copy": round(seconds["copy_s"] / seconds["download_s"], 2),
        "server_rss_mb": round(rss),
        "resume_after_kill": ok,
        **lists,
        **seconds,
        "bytes": size,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
