"""One file into the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bmase.core import registry
from bmase.core.calls import Backoff
from bmase.errors import NotFound, PreconditionFailed, TransferFailed, Unavailable
from bmase.progress import Meter, Phase
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from bmase.transfer import digests
from bmase.transfer.session import Session

CHUNK = 1 << 20
Stamp = tuple[int, int, int]
WRITE = registry.SERVICE + "WriteArtefact"


@dataclass(frozen=True, slots=True)
class Stored:
    """A file's content, as the registry knows it."""

    digest: str
    size: int


class Uploader:
    """Uploads over the session's connection; one object serves all workers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def upload(self, path: Path) -> Stored:
        """Brings the file into the registry, unless it is there; TransferFailed when the file changes meanwhile."""
        before = _stamp(path)
        meter = self._session.meter(path, before[0])
        meter.begin(Phase.HASH)
        digest, size = digests.of_file(path, self._counter(meter))
        with self._session.turn(digest):
            upload = self._session.wire.send(registry.start_upload(digest, size))
            missing = not upload.complete
            if missing:
                self._send_all(path, before, upload, meter)
        _check_unchanged(path, before)
        meter.finish(Phase.DONE if missing else Phase.PRESENT)
        return Stored(digest, size)

    def _counter(self, meter: Meter) -> Callable[[int], None]:
        def count(read: int) -> None:
            self._session.check()
            meter.add(read)

        return count

    def _send_all(self, path: Path, before: Stamp, upload: pb.Upload, meter: Meter) -> None:
        """Sends from where the registry's copy ends, as often as it takes while there is progress."""
        backoff, reached, damaged = Backoff(), upload.offset, False
        while not upload.complete:
            try:
                if self._send_rest(path, upload, meter).complete:
                    return
                raise Unavailable("the registry ended the upload before it was complete")
            except (Unavailable, NotFound, PreconditionFailed) as error:
                _check_unchanged(path, before)
                if error.reason == Reason.DIGEST_MISMATCH and not damaged:
                    # What somebody had sent before us was wrong, and the registry has thrown it away.
                    damaged, reached = True, 0
                elif isinstance(error, PreconditionFailed) and error.reason != Reason.UPLOAD_OFFSET_MISMATCH:
                    raise
                self._session.pause(error, backoff)
            upload = self._find_again(upload, backoff)
            if upload.offset > reached:
                reached = upload.offset
                backoff.succeeded()

    def _find_again(self, upload: pb.Upload, backoff: Backoff) -> pb.Upload:
        while True:
            try:
                return self._session.wire.send(registry.start_upload(upload.digest, upload.size_bytes))
            except Unavailable as error:
                self._session.pause(error, backoff)

    def _send_rest(self, path: Path, upload: pb.Upload, meter: Meter) -> pb.Upload:
        meter.begin(Phase.UPLOAD, upload.offset)
        wire = self._session.wire
        method = wire.channel.stream_unary(WRITE, None, pb.Upload.FromString)
        messages = Messages(path, upload, self._session, meter)
        with self._session.running(method.future(iter(messages), metadata=wire.metadata)) as call:
            answer: pb.Upload = call.result()
        if messages.failure is not None:
            raise messages.failure
        return answer


class Messages:
    """Serialised WriteArtefactRequests: the first names the upload, the others carry data.

    A data message is written by hand (tag, length, bytes), which saves a copy of every chunk. gRPC iterates in a
    thread of its own where nobody could catch anything: a file that cannot be read ends the messages and is kept in
    `failure`.
    """

    def __init__(self, path: Path, upload: pb.Upload, session: Session, meter: Meter) -> None:
        self._path, self._upload, self._session, self._meter = path, upload, session, meter
        self.failure: OSError | None = None

    def __iter__(self) -> Iterator[bytes]:
        yield pb.WriteArtefactRequest(upload_id=self._upload.id, offset=self._upload.offset).SerializeToString()
        try:
            with self._path.open("rb", buffering=0) as file:
                file.seek(self._upload.offset)
                while (chunk := file.read(CHUNK)) and not self._session.stopped:
                    yield data_header(len(chunk)) + chunk
                    self._meter.add(len(chunk))
        except OSError as failure:
            self.failure = failure


def data_header(length: int) -> bytes:
    """Tag and length that stand before the bytes of `WriteArtefactRequest.data`."""
    header = bytearray([pb.WriteArtefactRequest.DATA_FIELD_NUMBER << 3 | 2])
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _check_unchanged(path: Path, before: Stamp) -> None:
    if _stamp(path) != before:
        raise TransferFailed(f"{path} was changed while it was uploaded", hint="Push it again when it is complete.")
