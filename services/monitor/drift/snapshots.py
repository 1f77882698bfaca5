"""A version's live state as one file, so that a restart forgets nothing that was counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from services.monitor.drift.ledger import Ledger
from services.monitor.drift.settings import DriftSettings
from services.monitor.drift.tally import Tally
from services.monitor.drift.tensor import LiveTensor, Tested
from services.monitor.drift.version import LiveVersion
from services.monitor.references import Reference
from services.monitor.sketches import CategorySketch, Layout, NumberSketches, Role
from services.monitor.sketches.archive import Unreadable, join, pack, parted, unpack
from services.monitor.sketches.layout import Kind
from services.monitor.sketches.tensor import Window

FORMAT = 1
_LEDGERS = ("drift", "quality", "misfits")


def encode(model: str, number: int, version: LiveVersion) -> bytes:
    """The file's content."""
    arrays: dict[str, np.ndarray] = {}
    tensors = []
    for index, live in enumerate(version.tensors.values()):
        live.sketch.flush()
        layout = live.layout
        head = {"role": layout.role.value, "name": layout.name, "kind": layout.kind.value}
        windows = [[window.rows, window.misfits] for window in live.sketch.windows]
        tensors.append(head | {"row_shape": layout.row_shape, "windows": windows, "tested": live.tested is not None})
        arrays |= {f"{index}.{name}": array for name, array in _arrays(live).items()}
    digest = version.reference.digest if version.reference else ""
    meta = {"format": FORMAT, "model": model, "version": number, "reference": digest, "window": version.window}
    return pack(meta | {"window_start": version.window_start, "tensors": tensors}, arrays)


def named(data: bytes) -> tuple[str, int]:
    """Whose state it is."""
    meta, _ = unpack(data)
    if meta["format"] != FORMAT:
        raise Unreadable(f"format {meta['format']} is not known")
    return meta["model"], meta["version"]


def decode(data: bytes, settings: DriftSettings, reference: Reference | None) -> LiveVersion:
    """What was encoded; raises Unreadable, also when it was counted against another reference."""
    meta, arrays = unpack(data)
    if meta["reference"] != (reference.digest if reference else ""):
        raise Unreadable("it was counted against another reference")
    made = LiveVersion(settings, reference)
    made.window, made.window_start, made.changed = meta["window"], meta["window_start"], False
    for index, item in enumerate(meta["tensors"]):
        mine = {name.split(".", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{index}.")}
        key = (Role(item["role"]), item["name"])
        if key not in made.tensors:
            layout = Layout(*key, Kind(item["kind"]), tuple(item["row_shape"]), mine.get("picked"))
            made.tensors[key] = LiveTensor(layout, None)
        _fill(made.tensors[key], mine, item["windows"])
    return made


def _arrays(live: LiveTensor) -> dict[str, np.ndarray]:
    made = {} if live.layout.picked is None else {"picked": live.layout.picked}
    for at, window in enumerate(live.sketch.windows):
        made |= {f"window{at}.{name}": array for name, array in window.numbers.dump().items()}
        data, ends = join([sketch.dump() for sketch in window.categories.values()])
        made |= {f"window{at}.categories": data, f"window{at}.category_ends": ends}
    if live.tested is not None:
        for side, tally in (("tally", live.tested.tally), ("last", live.tested.last)):
            made |= {f"{side}.{name}": array for name, array in tally.dump().items()}
        for name in _LEDGERS:
            ledger: Ledger = getattr(live.tested, name)
            made |= {f"{name}.{part}": array for part, array in ledger.dump().items()}
    return made


def _fill(live: LiveTensor, arrays: Mapping[str, np.ndarray], windows: list[list[int]]) -> None:
    live.sketch.windows.clear()
    for at, (rows, misfits) in enumerate(windows):
        mine = _under(arrays, f"window{at}.")
        parts = parted(mine["categories"], mine["category_ends"])
        sketches = [CategorySketch.load(part) for part in parts]
        categories = dict(zip(live.layout.categories, sketches, strict=True))
        live.sketch.windows.append(Window(NumberSketches.load(mine), categories, rows, misfits))
    if live.tested is not None:
        _fill_tested(live.tested, arrays)


def _fill_tested(tested: Tested, arrays: Mapping[str, np.ndarray]) -> None:
    tested.tally = Tally.load(tested.reference, _under(arrays, "tally."))
    tested.last = Tally.load(tested.reference, _under(arrays, "last."))
    for name in _LEDGERS:
        setattr(tested, name, Ledger.load(_under(arrays, f"{name}.")))


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
