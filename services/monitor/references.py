"""References: what live traffic of a version is compared with, as sketches of rows that the version was made with.

    ReferenceStore(folder, cached)
        .put(request, now) -> Reference     a second one for the version is refused, the same one again is not
        .get(model, version) -> Reference   raises REFERENCE_NOT_FOUND
        .find(model, version) -> Reference | None

The rows are not kept. A reference is exact between the points of its grid (`drift.grid`): no error of a sketch is in
it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import structlog
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.reasons import Reason

from services.kit.decode import VersionRef, parse_version
from services.kit.errors import DomainError, InvalidArgument, Violation
from services.kit.files import write_atomically
from services.monitor.drift.grid import Grid
from services.monitor.drift.groups import Groups
from services.monitor.drift.tally import TensorReference
from services.monitor.oip import Malformed
from services.monitor.oip.tensors import from_raw
from services.monitor.sketches import Layout, Role
from services.monitor.sketches.archive import Unreadable, pack, unpack
from services.monitor.sketches.layout import MAX_FEATURES, Kind

log = structlog.get_logger(__name__)

FORMAT = 1
MAX_TENSORS = 64


@dataclass(frozen=True)
class Reference:
    """Immutable: the digest is that of the rows that were given."""

    name: str
    rows: int
    digest: str
    create_time: float
    tensors: tuple[TensorReference, ...]

    @property
    def features(self) -> int:
        """How many features can drift."""
        return sum(len(tensor.features) for tensor in self.tensors)

    def message(self) -> pb.Reference:
        """For the wire."""
        made = pb.Reference(name=self.name, rows=self.rows, features=self.features, digest=self.digest)
        made.create_time.FromNanoseconds(int(self.create_time * 1e9))
        return made


class ReferenceStore:
    """One file a version below `folder`; those used last are kept in memory, too. For any thread."""

    def __init__(self, folder: Path, cached: int = 64) -> None:
        self._folder = folder
        self._cached = cached
        self._known: OrderedDict[tuple[str, int], Reference | None] = OrderedDict()
        self._lock = threading.RLock()  # never held while a reference is built, which can take seconds

    def put(self, request: pb.PutReferenceRequest, now: float) -> Reference:
        """Raises InvalidArgument, and REFERENCE_EXISTS when the version has another one."""
        ref, digest = _version(request.name), digest_of(request)
        known = self.find(ref.model, ref.version) or self._keep(ref, build(request, digest, now))
        if known.digest != digest:
            raise DomainError(
                Reason.REFERENCE_EXISTS,
                f"{request.name} has the reference {known.digest} already; the rows now given are {digest}",
                hint="a reference never changes: make a new version, or keep the present reference",
            )
        return known

    def get(self, model: str, version: int) -> Reference:
        """The version's reference; raises REFERENCE_NOT_FOUND."""
        known = self.find(model, version)
        if known is None:
            raise DomainError(
                Reason.REFERENCE_NOT_FOUND,
                f"models/{model}/versions/{version} has no reference",
                hint="PutReference takes rows of the data that the version was made with",
            )
        return known

    def find(self, model: str, version: int) -> Reference | None:
        """The version's reference, if it has one that can be read."""
        key = (model, version)
        with self._lock:
            if key not in self._known:
                self._remember(key, self._read(self._path(model, version)))
            self._known.move_to_end(key)
            return self._known[key]

    def _keep(self, ref: VersionRef, made: Reference) -> Reference:
        """Writes it, unless another came first."""
        with self._lock:
            known = self.find(*ref)
            if known is None:
                write_atomically(self._path(*ref), encode(made))
                self._remember((ref.model, ref.version), made)
            return known or made

    def _remember(self, key: tuple[str, int], reference: Reference | None) -> None:
        self._known[key] = reference
        self._known.move_to_end(key)
        while len(self._known) > self._cached:
            self._known.popitem(last=False)

    def _read(self, path: Path) -> Reference | None:
        if not path.exists():
            return None
        try:
            return decode(path.read_bytes())
        except (Unreadable, KeyError, TypeError, ValueError) as error:
            log.error("monitor.reference_unreadable", file=path.name, error=str(error))
            path.replace(path.with_suffix(".unreadable"))
            return None

    def _path(self, model: str, version: int) -> Path:
        return self._folder / f"{quote(model, safe='')}@{version}.npz"


def build(request: pb.PutReferenceRequest, digest: str, now: float) -> Reference:
    """The reference of the request's rows; raises InvalidArgument naming each tensor that is not what it says."""
    found: list[TensorReference] = []
    violations: list[Violation] = []
    for field, role, tensor in _tensors(request):
        try:
            found.append(_tensor(role, tensor))
        except (Malformed, ValueError) as error:
            violations.append(Violation(field, str(error)))
    violations += _whole(request, found)
    if violations:
        raise InvalidArgument(violations)
    return Reference(request.name, found[0].rows, digest, now, tuple(found))


def digest_of(request: pb.PutReferenceRequest) -> str:
    """Of names, datatypes, shapes and values, in any order of tensors."""
    parts = []
    for _, role, tensor in _tensors(request):
        head = f"{role}\0{tensor.name}\0{tensor.datatype}\0{list(tensor.shape)}\0".encode()
        parts.append(hashlib.sha256(head + tensor.raw).digest())
    return f"sha256:{hashlib.sha256(b''.join(sorted(parts))).hexdigest()}"


def encode(reference: Reference) -> bytes:
    """The file's content."""
    arrays: dict[str, np.ndarray] = {}
    for index, tensor in enumerate(reference.tensors):
        arrays |= {f"{index}.{name}": array for name, array in tensor.grid.dump().items()}
        if tensor.layout.picked is not None:
            arrays[f"{index}.picked"] = tensor.layout.picked
    meta = {"format": FORMAT, "name": reference.name, "rows": reference.rows, "digest": reference.digest}
    tensors = [_described(tensor) for tensor in reference.tensors]
    return pack(meta | {"create_time": reference.create_time, "tensors": tensors}, arrays)


def decode(data: bytes) -> Reference:
    """What was encoded."""
    meta, arrays = unpack(data)
    if meta["format"] != FORMAT:
        raise Unreadable(f"format {meta['format']} is not known")
    tensors = []
    for index, item in enumerate(meta["tensors"]):
        mine = {name.split(".", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{index}.")}
        role, kind, shape = Role(item["role"]), Kind(item["kind"]), tuple(item["row_shape"])
        layout = Layout(role, item["name"], kind, shape, mine.pop("picked", None))
        groups = tuple(Groups.load(found) for found in item["groups"])
        tensors.append(TensorReference(layout, meta["rows"], Grid.load(mine), groups))
    return Reference(meta["name"], meta["rows"], meta["digest"], meta["create_time"], tuple(tensors))


def _described(tensor: TensorReference) -> dict[str, Any]:
    layout = tensor.layout
    head = {"role": layout.role.value, "name": layout.name, "kind": layout.kind.value, "row_shape": layout.row_shape}
    return head | {"groups": [groups.dump() for groups in tensor.groups]}


def _tensors(request: pb.PutReferenceRequest) -> Iterable[tuple[str, Role, pb.ReferenceTensor]]:
    for index, tensor in enumerate(request.inputs):
        yield f"inputs[{index}]", Role.INPUT, tensor
    for index, tensor in enumerate(request.outputs):
        yield f"outputs[{index}]", Role.OUTPUT, tensor


def _tensor(role: Role, tensor: pb.ReferenceTensor) -> TensorReference:
    if not tensor.name:
        raise ValueError("has no name")
    if not tensor.shape or tensor.shape[0] < 1:
        raise ValueError("has no rows: the first dimension of its shape counts them")
    array = from_raw(tensor.name, tensor.datatype, list(tensor.shape), tensor.raw).array
    layout = Layout.of(role, tensor.name, array)
    batch = layout.split(array)
    counted = (Counter(map(str, batch.categories[name].tolist())) for name in layout.categories)
    return TensorReference(layout, batch.rows, Grid.of(batch.numbers), tuple(Groups.of(counts) for counts in counted))


def _whole(request: pb.PutReferenceRequest, found: Sequence[TensorReference]) -> list[Violation]:
    """What is wrong with the tensors together."""
    names = [(role, tensor.name) for _, role, tensor in _tensors(request)]
    if not names:
        return [Violation("inputs", "at least one tensor of inputs or outputs is needed")]
    if len(names) > MAX_TENSORS:
        return [Violation("inputs", f"at most {MAX_TENSORS} tensors can be compared, {len(names)} are given")]
    if len(set(names)) != len(names):
        return [Violation("inputs", "a tensor is given twice")]
    features = sum(len(tensor.features) for tensor in found)
    if features > MAX_FEATURES:
        return [Violation("inputs", f"at most {MAX_FEATURES} features can be compared, these tensors have {features}")]
    rows = sorted({tensor.rows for tensor in found})
    return [Violation("inputs", f"all tensors need as many rows, these have {rows}")] if len(rows) > 1 else []


def _version(name: str) -> VersionRef:
    try:
        return parse_version(name)
    except ValueError as error:
        raise InvalidArgument([Violation("name", str(error))]) from None
