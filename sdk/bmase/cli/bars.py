"""Progress of long work, drawn on stderr while it is a terminal and silent otherwise."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bmase.cli.output import Output
from bmase.progress import Phase, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Drawing
    from rich.progress import TaskID

_VERBS = {
    Phase.HASH: "checking",
    Phase.UPLOAD: "sending",
    Phase.DOWNLOAD: "fetching",
    Phase.DONE: "done",
    Phase.PRESENT: "was there",
}


class Bars:
    """One bar a file, or a line that says what a deployment is doing."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._drawing: Drawing | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        if self._out.live:
            self._drawing = self._draw()
            self._drawing.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._drawing is not None:
            self._drawing.stop()

    def _draw(self) -> Drawing:
        from rich import progress  # noqa: PLC0415

        return progress.Progress(
            progress.SpinnerColumn(finished_text="[green]✓[/]"),
            progress.TextColumn("{task.fields[verb]:<9} {task.description}"),
            progress.BarColumn(bar_width=30),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            console=self._out.errors(),
        )

    def transfer(self, seen: Progress) -> None:
        """A listener for uploads and downloads."""
        if self._drawing is None:
            return
        task = self._tasks.get(seen.path)
        if task is None:
            task = self._drawing.add_task(Path(seen.path).name, total=seen.total, verb="")
            self._tasks[seen.path] = task
        total = max(seen.total, 1)
        done = total if seen.phase in {Phase.DONE, Phase.PRESENT} else seen.done
        self._drawing.update(task, completed=done, total=total, verb=_VERBS[seen.phase])


class StatusLine:
    """A spinner with the newest word about something that is waited for; lines when nobody can see it spin."""

    def __init__(self, out: Output, text: str) -> None:
        self._out, self._text = out, text
        self._status: Any = None
        self._last = ""

    def __enter__(self) -> StatusLine:
        if self._out.live:
            self._status = self._out.errors().status(self._text)
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, text: str) -> None:
        """The newest word."""
        if text == self._last:
            return
        self._last = text
        if self._status is not None:
            self._status.update(f"{self._text}: {text}")
        else:
            self._out.note(text)
