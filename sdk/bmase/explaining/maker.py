"""Makes the version of an explainer: a directory as Triton serves it, to be pushed and deployed like any other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from bmase.core import tensors
from bmase.core.tensors import Array
from bmase.errors import InvalidArgument, Violation
from bmase.explaining.portable import gateway as portable_gateway
from bmase.explaining.portable import local
from bmase.explaining.portable.requests import BACKGROUND, SUFFIX, Asked, RequestError
from bmase.registry.v1 import registry_pb2 as pb
from bmase.samples import from_arrays

OWN = ("base", "explained", "output_index", "version")
INSTANCES = 2
# Of a background that is kept. Every coalition is tried with each of its rows.
BACKGROUND_ROWS = 8
PORTABLE = Path(__file__).with_name("portable")
FLOATS = ("FP16", "FP32", "FP64")


def make_explainer(
    model: str,
    signature: pb.Signature,
    background: Mapping[str, Array],
    gateway: str,
    folder: Path,
    *,
    batched: bool = True,
    method: str = local.SHAPLEY,
    output: str = "",
    keep: Sequence[str] = (),
    names: Mapping[str, Sequence[str]] | None = None,
    samples: int = 0,
    patch: int = 0,
    background_rows: int = BACKGROUND_ROWS,
    seed: int = 0,
) -> Path:
    """Writes the explainer of `model` into `folder`, which must not exist yet, and returns it.

    signature    of the model's version, as the registry has it
    batched      whether it is without the batch dimension, as that of a version with a max_batch_size above 0
    background   rows (n, ...) of every input that stand for "not there"; of more than `background_rows`, that many are
                 drawn with `seed`
    gateway      where the explainer asks for the model: http://host:port of this machine, or https://host:port
    output       the tensor that is explained; empty: the first one of floats
    keep         inputs that are left as they are, such as masks
    names        what the places of an input are called: input -> names

    Raises InvalidArgument, naming the field.
    """
    signature = signature if batched else _of_rows(signature)
    _check(model, signature, method, gateway, keep)
    explained = _output(signature, output)
    rows = _background(signature, background, background_rows, seed)
    wanted = {"method": method, "samples": samples, "patch": patch}
    _checked(wanted)
    told = {
        "model": model,
        "gateway": gateway,
        "output": explained,
        "keep": json.dumps(list(keep)),
        "names": json.dumps({name: list(words) for name, words in (names or {}).items()}),
        **{name: str(value) for name, value in wanted.items()},
    }
    own = folder / "1"
    own.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(_config(signature, told)))
    shutil.copytree(PORTABLE, own / "portable", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(Path(__file__).with_name("triton_model.py"), own / "model.py")
    np.savez_compressed(own / "background.npz", allow_pickle=False, **rows)
    (folder / "samples").mkdir()
    (folder / "samples" / "warm-up.pb").write_bytes(_sample(signature, rows).SerializeToString(deterministic=True))
    return folder


def _of_rows(signature: pb.Signature) -> pb.Signature:
    """Without the first dimension, which has to be that of the rows."""
    made = pb.Signature()
    made.CopyFrom(signature)
    for tensor in (*made.inputs, *made.outputs):
        if list(tensor.shape[:1]) not in ([-1], [1]):
            what = f"has the shape {list(tensor.shape)}: its first dimension is not that of rows"
            raise _wrong("signature", f"{tensor.name!r} {what}")
        del tensor.shape[0]
    return made


def _check(model: str, signature: pb.Signature, method: str, gateway: str, keep: Sequence[str]) -> None:
    datatypes = [tensor.datatype for tensor in signature.inputs]
    if not portable_gateway.known(datatypes):
        raise _wrong("signature", f"{model} takes {', '.join(datatypes)}; of these types not all can be explained")
    given = {tensor.name for tensor in signature.inputs}
    if missing := set(keep) - given:
        raise _wrong("keep", f"{model} has no input {', '.join(sorted(missing))}; it has {', '.join(sorted(given))}")
    if given <= set(keep):
        raise _wrong("keep", "no input is left that could be explained")
    if method not in local.METHODS:
        raise _wrong("method", f"{method!r} is none of {', '.join(local.METHODS)}")
    secure = gateway.startswith("https://")
    host = gateway.partition("://")[2].rpartition(":")[0].strip("[]")
    if not secure and host not in portable_gateway.LOOPBACK:
        raise _wrong("gateway", f"{gateway!r} is not on this machine: give https://host:port")


def _checked(wanted: Mapping[str, Any]) -> Asked:
    try:
        return Asked().changed(wanted)
    except RequestError as error:
        raise _wrong("parameters", str(error)) from None


def _output(signature: pb.Signature, output: str) -> str:
    floats = [tensor.name for tensor in signature.outputs if tensor.datatype in FLOATS]
    if not output and floats:
        return floats[0]
    if output not in floats:
        what = f"there is no output {output!r} of floats" if output else "no output is of floats"
        raise _wrong("output", f"{what}; there are: {', '.join(floats) or 'none'}")
    return output


def _background(signature: pb.Signature, given: Mapping[str, Array], most: int, seed: int) -> dict[str, Array]:
    """Rows (n, ...) of each input, in the types of the model."""
    rows: dict[str, Array] = {}
    for tensor in signature.inputs:
        if tensor.name not in given:
            raise _wrong("background", f"has no array {tensor.name!r}; it has {', '.join(given) or 'none'}")
        array = np.asarray(given[tensor.name])
        rows[tensor.name] = (
            _bytes(array) if tensor.datatype == "BYTES" else array.astype(tensors.DTYPES[tensor.datatype])
        )
        if array.ndim != len(tensor.shape) + 1:
            shape = f"{list(array.shape)}, not [rows, {', '.join(map(str, tensor.shape))}]"
            raise _wrong("background", f"{tensor.name!r} has the shape {shape}")
    counts = {name: len(array) for name, array in rows.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise _wrong("background", f"every input needs the same number of rows, one at least; there are {counts}")
    count = next(iter(counts.values()))
    if count > most:
        kept = np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
        rows = {name: array[kept] for name, array in rows.items()}
    return rows


def _bytes(array: Array) -> Array:
    """Of one width, so that they are kept without pickle."""
    items = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
    return np.array(items, dtype="S").reshape(array.shape)


def _config(signature: pb.Signature, told: Mapping[str, str]) -> triton.ModelConfig:
    """Without batches of Triton's: rows and background are of different numbers."""
    config = triton.ModelConfig(backend="python", max_batch_size=0)
    for tensor in signature.inputs:
        config.input.add(name=tensor.name, data_type=_type(tensor.datatype), dims=_dims(tensor))
    for tensor in signature.inputs:
        name = BACKGROUND + tensor.name
        config.input.add(name=name, data_type=_type(tensor.datatype), dims=_dims(tensor), optional=True)
    for tensor in signature.inputs:
        config.output.add(name=tensor.name + SUFFIX, data_type=triton.TYPE_FP32, dims=_dims(tensor))
    for name in OWN:
        kind = triton.TYPE_FP64 if name in ("base", "explained") else triton.TYPE_INT64
        config.output.add(name=name, data_type=kind, dims=[-1, 1])
    config.instance_group.add(count=INSTANCES, kind=triton.ModelInstanceGroup.KIND_CPU)
    for key in sorted(told):
        config.parameters[key].string_value = told[key]
    return config


def _dims(tensor: pb.Tensor) -> list[int]:
    return [-1, *tensor.shape]


def _type(datatype: str) -> Any:
    return triton.DataType.Value("TYPE_" + {"BYTES": "STRING"}.get(datatype, datatype))


def _sample(signature: pb.Signature, rows: Mapping[str, Array]) -> pb.Sample:
    """The background's first row, for the node to try the explainer with."""
    arrays = {}
    for tensor in signature.inputs:
        first = rows[tensor.name][:1]
        shape = [size if size > 0 else given for size, given in zip(tensor.shape, first.shape[1:], strict=True)]
        arrays[f"input:{tensor.name}"] = np.broadcast_to(first, (1, *shape)).copy()
    return from_arrays(arrays)


def _wrong(field: str, text: str) -> InvalidArgument:
    return InvalidArgument(f"{field}: {text}", reason="INVALID_FIELD", violations=[Violation(field, text)])
