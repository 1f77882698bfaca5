"""One artefact into a file."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from bmase.core import registry
from bmase.core.calls import Backoff
from bmase.errors import TransferFailed, Unavailable
from bmase.progress import Meter, Phase
from bmase.registry.v1 import registry_pb2 as pb
from bmase.transfer import digests
from bmase.transfer.session import Session

DATA_TAG = pb.ReadArtefactResponse.DATA_FIELD_NUMBER << 3 | 2


@dataclass(frozen=True, slots=True)
class Fetch:
    """One file to download."""

    digest: str
    size: int
    target: Path


class Downloader:
    """Downloads over the session's connection; one object serves all workers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def download(self, fetch: Fetch) -> None:
        """Brings the artefact to its target: whole and right, or not at all."""
        meter = self._session.meter(fetch.target, fetch.size)
        fetch.target.parent.mkdir(parents=True, exist_ok=True)
        part = fetch.target.with_name(f".{fetch.target.name}.part")
        with _locked(part) as file:
            if self._is_right(fetch, meter):
                part.unlink()
                meter.finish(Phase.PRESENT)
                return
            self._fill(file, fetch, meter)
            part.replace(fetch.target)
        meter.finish(Phase.DONE)

    def _counter(self, meter: Meter) -> Callable[[int], None]:
        def count(read: int) -> None:
            self._session.check()
            meter.add(read)

        return count

    def _is_right(self, fetch: Fetch, meter: Meter) -> bool:
        if not fetch.target.is_file() or fetch.target.stat().st_size != fetch.size:
            return False
        meter.begin(Phase.HASH)
        return digests.of_file(fetch.target, self._counter(meter))[0] == fetch.digest

    def _fill(self, file: FileIO, fetch: Fetch, meter: Meter) -> None:
        """Completes the part; one that was resumed and turns out wrong is fetched anew, once."""
        resumed = os.fstat(file.fileno()).st_size > 0
        if self._complete(file, fetch, meter):
            return
        file.truncate(0)
        if resumed and self._complete(file, fetch, meter):
            return
        file.truncate(0)
        raise TransferFailed(
            f"what the registry sent for {fetch.target.name} does not have the digest {fetch.digest}",
            reason="DIGEST_MISMATCH",
            hint="The registry's copy may be damaged: ask its operator to check the artefact.",
        )

    def _complete(self, file: FileIO, fetch: Fetch, meter: Meter) -> bool:
        """Appends what the part lacks; whether it is right now."""
        with digests.Running() as running:
            have = self._what_is_there(file, running, meter)
            backoff = Backoff()
            while have < fetch.size:
                before = have
                try:
                    meter.begin(Phase.DOWNLOAD, have)
                    for data in self._read(fetch.digest, have):
                        running.update(data)
                        _write(file, data)
                        have += len(data)
                        meter.add(len(data))
                except Unavailable as error:
                    if have > before:
                        backoff.succeeded()
                    self._session.pause(error, backoff)
                else:
                    break
            return have == fetch.size and running.text() == fetch.digest

    def _what_is_there(self, file: FileIO, running: digests.Running, meter: Meter) -> int:
        """Takes a part that was begun into the digest; its length."""
        file.seek(0)
        meter.begin(Phase.HASH)
        have = 0
        while block := file.read(digests.BLOCK):
            self._session.check()
            running.update(block)
            have += len(block)
            meter.add(len(block))
        return have

    def _read(self, digest: str, offset: int) -> Iterator[memoryview]:
        call = registry.read_artefact(digest, offset)
        wire = self._session.wire
        method = wire.channel.unary_stream(call.path, type(call.request).SerializeToString, None)
        with self._session.running(method(call.request, metadata=wire.metadata)) as messages:
            for message in messages:
                self._session.check()
                yield data_of(message)


def data_of(message: bytes) -> memoryview:
    """The data of a serialised ReadArtefactResponse, without copying it.

    Parsed in full when it is anything but the one field.
    """
    length = shift = 0
    at = 1
    if message[:1] == bytes([DATA_TAG]):
        while at < len(message):
            byte = message[at]
            length |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if byte < 0x80:
                break
        if at + length == len(message):
            return memoryview(message)[at:]
    return memoryview(pb.ReadArtefactResponse.FromString(message).data)


def _write(file: FileIO, data: memoryview) -> None:
    """All of the data: an unbuffered write may take less than it is given."""
    while data:
        data = data[file.write(data) or 0 :]


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[FileIO]:
    """The part, open for this process alone; whoever waited finds the finished target."""
    while True:
        with part.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # It may have been renamed or removed while we waited: then it is not the part any more.
            if _same(file, part):
                yield file
                return


def _same(file: FileIO, path: Path) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
