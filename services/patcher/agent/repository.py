"""Triton's model repository on this node: one folder a model, holding exactly one version.

    <model>/config.pbtxt      the version's own, with its name and version policy set
    <model>/<n>/...           hard links into the store

A folder is built aside, in `_staging` of the same file system, and moved in whole, so Triton never sees half a model:
it is told by name what to load, and no model's name begins so. `occupants.json` notes what lies where.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bmase.reasons import Reason
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from services.kit.errors import DomainError
from services.kit.files import write_atomically
from services.patcher.agent.decide import Identity
from services.patcher.agent.store import Store, hash_file
from services.patcher.documents import Desired, DesiredFile, FileRole

CONFIG = "config.pbtxt"


class Repository:
    """The folder that Triton reads; its methods block."""

    def __init__(self, root: Path, state: Path, store: Store) -> None:
        self.root = root
        self._staging = root / "_staging"
        self._notes = state / "occupants.json"
        self._store = store
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._staging, ignore_errors=True)
        self.occupants = self._read()

    def lay_out(self, desired: Desired) -> bool:
        """Makes the model's folder hold exactly this version; False when it did. Raises OSError, DomainError."""
        config = config_text(desired, self._store)
        if self.occupants.get(desired.model) == _identity(desired) and self._is_intact(desired, config):
            return False
        self.remove(desired.model)
        staged = self._staging / desired.model
        try:
            self._stage(staged, desired, config)
            self._note({**self.occupants, desired.model: _identity(desired)})
            staged.rename(self.root / desired.model)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return True

    def _stage(self, staged: Path, desired: Desired, config: str) -> None:
        (staged / str(desired.version)).mkdir(parents=True)
        for file in desired.files:
            if target := _target(staged, desired, file):
                self._store.link(file.digest, target)
        (staged / CONFIG).write_text(config)

    def remove(self, model: str) -> None:
        """Takes the model's folder away; the artefacts stay in the store."""
        folder = self.root / model
        if folder.exists():
            shutil.rmtree(folder)
        if model in self.occupants:
            self._note({name: who for name, who in self.occupants.items() if name != model})

    def samples(self, desired: Desired) -> list[bytes]:
        """The contents of the version's samples."""
        files = (file for file in desired.files if file.role is FileRole.SAMPLE)
        return [self._store.path(file.digest).read_bytes() for file in files]

    def _is_intact(self, desired: Desired, config: str) -> bool:
        folder = self.root / desired.model
        try:
            same = (folder / CONFIG).read_text() == config
            targets = ((file, _target(folder, desired, file)) for file in desired.files)
            return same and all(self._is_object(file, target) for file, target in targets if target)
        except (OSError, UnicodeDecodeError):
            return False

    def _is_object(self, file: DesiredFile, target: Path) -> bool:
        """The very object that was verified in the store, or a copy of it."""
        return target.samefile(self._store.path(file.digest)) or hash_file(target).hexdigest() == file.digest[7:]

    def _note(self, occupants: dict[str, Identity]) -> None:
        self.occupants = occupants
        known = {model: [who.version, who.digest] for model, who in sorted(occupants.items())}
        write_atomically(self._notes, json.dumps(known).encode())

    def _read(self) -> dict[str, Identity]:
        """What lies there: noted and really present.

        A folder without a note is of no known version. It stays until its model is laid out or removed: the folder may
        be somebody's own, or the notes may be what was lost.
        """
        try:
            noted = {model: Identity(int(n), str(d)) for model, (n, d) in json.loads(self._notes.read_bytes()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            noted = {}
        return {model: who for model, who in noted.items() if (self.root / model / str(who.version)).is_dir()}


class Preload:
    """The file that names the models which a starting Triton loads by itself (`infra.triton.launch --models-file`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = self._read()

    def write(self, names: Iterable[str]) -> None:
        """Durable when it returns; does nothing when nothing changed. Raises OSError."""
        wanted = sorted(names)
        if wanted != self.names or not self._path.exists():
            write_atomically(self._path, json.dumps(wanted).encode())
            self.names = wanted

    def _read(self) -> list[str]:
        try:
            return [str(name) for name in json.loads(self._path.read_bytes())]
        except (OSError, ValueError, TypeError):
            return []


def config_text(desired: Desired, store: Store) -> str:
    """The version's configuration, with the name and the one version that this node serves."""
    config = model_config_pb2.ModelConfig()
    own = next((f for f in desired.files if f.role is FileRole.CONFIG and f.path == CONFIG), None)
    try:
        if own is not None:
            text_format.Parse(store.path(own.digest).read_text(), config)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise DomainError(Reason.LOAD_FAILED, f"its {CONFIG} cannot be read: {error}"[:400]) from error
    config.name = desired.model
    config.version_policy.specific.versions[:] = [desired.version]
    return text_format.MessageToString(config)


def _target(folder: Path, desired: Desired, file: DesiredFile) -> Path | None:
    """Where the file goes; None for what is not laid out. The registry has checked the path; this is the last wall."""
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in file.path or "\x00" in file.path:
        raise DomainError(Reason.LOAD_FAILED, f"the path {file.path[:80]!r} of a file leaves the version's folder")
    if file.role is FileRole.SAMPLE or (file.role is FileRole.CONFIG and file.path == CONFIG):
        return None
    return (
        folder.joinpath(*path.parts)
        if file.role is FileRole.CONFIG
        else folder.joinpath(str(desired.version), *path.parts)
    )


def _identity(desired: Desired) -> Identity:
    return Identity(desired.version, desired.digest)
