"""Several transfers at once, with one way to stop them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bmase.progress import Listener, silent
from bmase.transfer.download import Downloader, Fetch
from bmase.transfer.session import Session
from bmase.transfer.upload import Stored, Uploader

if TYPE_CHECKING:
    from bmase.sync.wire import Wire

PARALLEL = 4

Job = TypeVar("Job")
Result = TypeVar("Result")


class Transfer:
    """Uploads and downloads over one connection. Used once; `cancel` may be called from any thread."""

    def __init__(self, wire: Wire, listener: Listener = silent, parallel: int = PARALLEL) -> None:
        self._session = Session(wire, listener)
        self._parallel = parallel

    def cancel(self) -> None:
        """Makes what is running raise Cancelled soon. What has been transferred is kept."""
        self._session.stop()

    def upload(self, files: Sequence[Path]) -> list[Stored]:
        """Brings files into the registry; their digests, in the order given."""
        return self._each(files, Uploader(self._session).upload)

    def download(self, fetches: Sequence[Fetch]) -> None:
        """Brings artefacts to their targets; files that are right already stay as they are."""
        self._each(fetches, Downloader(self._session).download)

    def _each(self, jobs: Sequence[Job], work: Callable[[Job], Result]) -> list[Result]:
        workers = max(1, min(self._parallel, len(jobs)))
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="bmase-transfer")
        futures: list[Future[Result]] = [pool.submit(work, job) for job in jobs]
        try:
            finished, pending = wait(futures, return_when=FIRST_EXCEPTION)
            if pending:
                next(f for f in finished if f.exception()).result()
            return [future.result() for future in futures]
        finally:
            # Also on Ctrl-C: nobody is left waiting on a server that is silent.
            if not all(future.done() for future in futures):
                self.cancel()
            pool.shutdown(cancel_futures=True)
