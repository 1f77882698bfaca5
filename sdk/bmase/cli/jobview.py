"""Jobs in words, bars and lines."""

from __future__ import annotations

import re
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from bmase import names
from bmase.cli import words
from bmase.cli.bars import Bars
from bmase.cli.command import Cli
from bmase.core import jobs as calls
from bmase.trainer.v1 import trainer_pb2 as pb

_ID = re.compile(r"[0-9a-f]{18}")
_KINDS = (pb.WatchJobRequest.KIND_STATE, pb.WatchJobRequest.KIND_PROGRESS, pb.WatchJobRequest.KIND_METRICS)
SHOWN_METRICS = 4
PRESENT_SECONDS = 2.0  # in which the lines of a running job that are there have come


def is_id(text: str) -> bool:
    """Whether it is a job's id, and no model's name."""
    return _ID.fullmatch(text) is not None


def state(job: pb.Job) -> str:
    """With why it is being stopped, when it is."""
    word = calls.state_word(job.state)
    stopping = pb.Cause.Name(job.stop_cause).removeprefix("CAUSE_").lower().replace("_", " ") if job.stop_cause else ""
    return f"{word}, stopping: {stopping}" if stopping else word


def progress(job: pb.Job) -> str:
    """Steps, in percent where the end is known."""
    seen = job.progress
    if not seen.step and not seen.message:
        return ""
    share = f" ({100 * seen.step / seen.total_steps:.0f} %)" if seen.total_steps else ""
    return f"step {seen.step}{share}" + (f", {seen.message}" if seen.message else "")


def value(message: Any) -> Any:
    """A parameter as it was given."""
    found = MessageToDict(message)
    return int(found) if isinstance(found, float) and found.is_integer() else found


def resources(job: pb.Job) -> str:
    """What it holds while it runs."""
    held = job.resources
    gpus = f", {held.gpus} GPUs" if held.gpus else ""
    return f"{held.workers} x {held.cpus:g} CPUs, {held.memory_bytes / 2**30:.3g} GiB{gpus}"


def gates(job: pb.Job) -> str:
    """Each with its answer; as asked while there is none."""
    if not job.gate_results:
        return "\n".join(job.gates)
    outcome = pb.GateResult.Outcome
    return "\n".join(
        f"{outcome.Name(each.outcome).removeprefix('OUTCOME_').lower().replace('_', ' ')}: {each.gate}: {each.message}"
        for each in job.gate_results
    )


def attempts(job: pb.Job) -> str:
    """Those that ended by something, and how many there were."""
    lines = [f"{each.number}: {each.message}" for each in job.attempts if each.cause]
    return "\n".join([str(len(job.attempts)), *lines]) if job.attempts else ""


def timings(job: pb.Job) -> str:
    """How long it was in each state."""
    found = (
        f"{calls.state_word(each.state)} {each.duration.ToTimedelta().total_seconds():.1f} s" for each in job.timings
    )
    return ", ".join(found)


def uploaded(cli: Cli, code: Path) -> str:
    """The digest of the code in the registry; a folder is packed, the same for the same files."""
    with tempfile.TemporaryDirectory() as folder:
        packed = code
        if code.is_dir():
            packed = Path(folder) / "code.tar.gz"
            _pack(code, packed)
        with Bars(cli.out) as bars:
            return cli.client.upload(packed, progress=bars.transfer)


def _pack(code: Path, target: Path) -> None:
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in info.name or info.name.startswith("."):
            return None
        info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode = 0, 0, 0, "", "", 0o644
        return info

    import gzip  # noqa: PLC0415

    with (
        target.open("wb") as out,
        gzip.GzipFile("", "wb", mtime=0, fileobj=out) as zipped,
        # What links point at is packed: a link may point at what only this machine has.
        tarfile.open(fileobj=zipped, mode="w", dereference=True) as tar,  # type: ignore[arg-type]
    ):
        for path in sorted(path for path in code.rglob("*") if path.is_file()):
            tar.add(path, path.relative_to(code).as_posix(), filter=plain)


def follow(cli: Cli, name: str) -> pb.Job:
    """Draws what happens until the end; the job as it ended."""
    view = _Bar(cli) if cli.out.live else _Lines(cli)
    with view:
        for event in cli.client.jobs.watch(name, kinds=_KINDS):
            view.see(event)
    ended = cli.client.jobs.get(name)
    if cli.out.as_json:
        return ended
    for each in ended.gate_results:
        cli.out.say(f"  {'x' if each.outcome == pb.GateResult.OUTCOME_FAILED else '-'} {each.gate}: {each.message}")
    if ended.version:
        shown = ended.version.removeprefix("models/").replace("/versions/", "@")
        cli.out.say(f"{names.short(ended.name)} {calls.state_word(ended.state)}: {shown}")
    else:
        cli.out.say(f"{names.short(ended.name)} {calls.state_word(ended.state)}: {ended.message}")
    return ended


class _Lines:
    """For pipes and --json: one line an event."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def see(self, event: pb.JobEvent) -> None:
        self._cli.out.event(event, line(event))


def line(event: pb.JobEvent) -> str:
    """An event in a line."""
    match event.WhichOneof("event"):
        case "state":
            word = calls.state_word(event.state.state)
            return f"{word}: {event.state.message}" if event.state.message else word
        case "progress":
            return progress(pb.Job(progress=event.progress))
        case "metrics":
            return f"step {event.metrics.step}: {words.mapping(dict(event.metrics.values))}"
        case "log":
            return str(event.log.text)
        case "checkpoint":
            return f"checkpoint of step {event.checkpoint.step}"
    return ""


class _Bar:
    """A bar of steps with the latest metrics beside it."""

    def __init__(self, cli: Cli) -> None:
        from rich import progress as drawing  # noqa: PLC0415

        self._drawing = drawing.Progress(
            drawing.SpinnerColumn(finished_text="[green]✓[/]"),
            drawing.TextColumn("{task.description:<12}"),
            drawing.BarColumn(bar_width=30),
            drawing.MofNCompleteColumn(),
            drawing.TimeElapsedColumn(),
            drawing.TextColumn("{task.fields[said]}"),
            console=cli.out.errors(),
        )
        self._task = self._drawing.add_task("queued", total=None, said="")
        self._metrics: dict[str, float] = {}

    def __enter__(self) -> _Bar:
        self._drawing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._drawing.stop()

    def see(self, event: pb.JobEvent) -> None:
        match event.WhichOneof("event"):
            case "state":
                change = event.state
                self._drawing.update(self._task, description=calls.state_word(change.state), said=change.message)
            case "progress":
                seen = event.progress
                self._drawing.update(self._task, completed=seen.step, total=seen.total_steps or None)
            case "metrics":
                self._metrics |= dict(event.metrics.values)
                last = list(self._metrics.items())[-SHOWN_METRICS:]
                self._drawing.update(self._task, said=", ".join(f"{name} {value:.4g}" for name, value in last))


def logs(cli: Cli, name: str, keep_on: bool) -> None:
    """What the code printed; to the end of what there is, or of the job."""
    from bmase.errors import TimedOut  # noqa: PLC0415

    there = None if keep_on or calls.is_over(cli.client.jobs.get(name)) else PRESENT_SECONDS
    try:
        for event in cli.client.jobs.watch(name, kinds=[pb.WatchJobRequest.KIND_LOG], timeout=there):
            _log(cli, event)
    except TimedOut:
        if there is None:
            raise


def _log(cli: Cli, event: pb.JobEvent) -> None:
    if event.WhichOneof("event") == "log":
        worker = "trainer" if event.log.worker < 0 else f"worker {event.log.worker}"
        cli.out.event(event, f"{worker} | {event.log.text}")
