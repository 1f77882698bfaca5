"""What the files of a version are: checked, and completed with signature and serving configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2 as pb
from tritonclient.grpc import model_config_pb2 as triton

from services.kit.errors import DomainError, InvalidArgument, Violation
from services.registry import samples, tritonconfig
from services.registry.artefacts import Artefact, Artefacts
from services.registry.blobfile import BlobFile
from services.registry.content import CONFIG, MODEL, SAMPLE, File
from services.registry.onnxmodel import OnnxModel, read_onnx
from services.registry.onnxslim import MalformedError
from services.registry.signature import Signature, Tensor, batched_scalars, disagreements, for_clients
from services.registry.tritonconfig import CONFIG_PATH, MODEL_FILE, ONNX_BACKEND, Batching, Serving
from services.registry.versioninput import FileInput, ServingInput, SignatureInput, TensorInput, VersionInput

# Model files that are read at the same time: each may hold a graph of many megabytes.
READERS = 4


@dataclass(frozen=True, slots=True)
class Inspected:
    """A version that is sound. `files` are all but the configuration, which needs the version's number."""

    format: int
    files: tuple[File, ...]
    signature: Signature
    serving: Serving
    config: triton.ModelConfig


class Inspection:
    """Reads the files of a version that is to be."""

    def __init__(self, artefacts: Artefacts) -> None:
        self._artefacts = artefacts
        # Threads of its own: a reader waits for blocks that the store may fetch in the loop's default threads, and
        # would wait for ever if readers held all of those.
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="inspection")

    async def close(self) -> None:
        """Waits for the readers; the loop must go on meanwhile, as they get their bytes through it."""
        await asyncio.to_thread(self._readers.shutdown, cancel_futures=True)

    async def inspect(self, model: str, asked: VersionInput, stored: Mapping[str, Artefact]) -> Inspected:
        """Raises InvalidArgument, INVALID_MODEL_FILE or SIGNATURE_REQUIRED; `stored` has every digest of the files."""
        files = tuple(_file(file, stored[file.digest].size) for file in asked.files)
        config = await self._config(model, files, stored)
        onnx = await self._onnx(files, stored)
        kind = _format(asked.format, onnx, config)
        if config is not None:
            made = _configured(asked, kind, files, config, onnx)
        else:
            made = _composed(asked, kind, files, onnx)
        await self._check_samples(made, stored)
        return made

    async def _config(
        self, model: str, files: tuple[File, ...], stored: Mapping[str, Artefact]
    ) -> triton.ModelConfig | None:
        for file in files:
            if file.role == CONFIG:
                if file.size > tritonconfig.MAX_CONFIG_BYTES:
                    raise tritonconfig.refused(f"it has {file.size} bytes")
                raw = await self._artefacts.read_small(stored[file.digest])
                return tritonconfig.parsed(raw, model)
        return None

    async def _onnx(self, files: tuple[File, ...], stored: Mapping[str, Artefact]) -> OnnxModel | None:
        sizes = {file.path: file.size for file in files if file.role == MODEL}
        for index, file in enumerate(files):
            if file.role == MODEL and file.path == MODEL_FILE:
                try:
                    return await self._read(stored[file.digest], file.path, sizes)
                except MalformedError as error:
                    raise DomainError(
                        Reason.INVALID_MODEL_FILE,
                        f"{file.path}: {error}",
                        field=f"version.files[{index}]",
                        hint="Export the model again, or check it with onnx.checker.check_model.",
                        metadata={"path": file.path},
                    ) from None
        return None

    async def _read(self, artefact: Artefact, path: str, sizes: Mapping[str, int]) -> OnnxModel:
        loop = asyncio.get_running_loop()
        # Closed when the caller is cancelled: the reader then ends at its next block.
        with BlobFile(self._artefacts, artefact, loop) as source:
            return await loop.run_in_executor(self._readers, read_onnx, cast(BinaryIO, source), path, sizes)

    async def _check_samples(self, made: Inspected, stored: Mapping[str, Artefact]) -> None:
        for index, file in enumerate(made.files):
            if file.role == SAMPLE:
                field = f"version.files[{index}]"
                if file.size > samples.MAX_SAMPLE_BYTES:
                    raise InvalidArgument([Violation(field, f"a sample has at most {samples.MAX_SAMPLE_BYTES} bytes")])
                sample = samples.parsed(await self._artefacts.read_small(stored[file.digest]), field)
                samples.check(sample, made.signature, made.serving.max_batch_size or 0, field)


def _file(asked: FileInput, size: int) -> File:
    return File(asked.path, asked.digest, asked.role or (CONFIG if asked.path == CONFIG_PATH else MODEL), size)


def _format(asked: int, onnx: OnnxModel | None, config: triton.ModelConfig | None) -> int:
    found = asked or (pb.FORMAT_TRITON if config is not None else pb.FORMAT_ONNX)
    if found == pb.FORMAT_ONNX and onnx is None:
        raise InvalidArgument(
            [Violation("version.files", f"a version in the format ONNX needs one file {MODEL_FILE!r}")]
        )
    if found == pb.FORMAT_TRITON and config is None:
        raise InvalidArgument([Violation("version.files", f"a version in the format TRITON needs {CONFIG_PATH!r}")])
    return found


# --- the configuration is written ---------------------------------------------------------------------------------


def _composed(asked: VersionInput, kind: int, files: tuple[File, ...], onnx: OnnxModel | None) -> Inspected:
    if onnx is None:
        raise AssertionError("a version without configuration has an ONNX file")
    serving = _serving(asked.serving, onnx)
    batched = bool(serving.max_batch_size)
    read = for_clients(onnx.tensors, batched)
    signature = _agreed(asked.signature, read)
    scalars = batched_scalars(onnx.tensors) if batched else frozenset()
    return Inspected(kind, files, signature, serving, tritonconfig.composed(serving, signature, scalars))


def _serving(asked: ServingInput | None, onnx: OnnxModel) -> Serving:
    derived = tritonconfig.DEFAULT_MAX_BATCH if onnx.batchable else 0
    if asked is None:
        return Serving(derived, Batching() if derived else None, backend=ONNX_BACKEND)
    size = derived if asked.max_batch_size < 0 else asked.max_batch_size
    if size and not _can_batch(onnx):
        text = "must be 0: a tensor of the model has a fixed first dimension"
        raise InvalidArgument([Violation("version.serving.max_batch_size", text)])
    given = asked.dynamic_batching
    batching = None
    if given is not None and size:
        batching = Batching(tuple(size_ for size_ in given.preferred_batch_sizes), given.max_queue_delay_us)
    if batching and any(preferred > size for preferred in batching.preferred_batch_sizes):
        text = f"must not be above max_batch_size, which is {size}"
        raise InvalidArgument([Violation("version.serving.dynamic_batching.preferred_batch_sizes", text)])
    return Serving(size, batching, asked.instances or 1, dict(asked.parameters), asked.backend or ONNX_BACKEND)


def _can_batch(onnx: OnnxModel) -> bool:
    tensors = (*onnx.tensors.inputs, *onnx.tensors.outputs)
    return all(tensor.shape is None or tensor.shape[:1] == (-1,) for tensor in tensors)


def _agreed(given: SignatureInput | None, read: Signature) -> Signature:
    if given is None:
        if not read.known:
            open_ = [tensor.name for tensor in (*read.inputs, *read.outputs) if tensor.shape is None]
            raise DomainError(
                Reason.SIGNATURE_REQUIRED,
                f"the model file does not say which shape {', '.join(map(repr, open_))} has",
                field="version.signature",
                hint="Give the signature, with -1 for dimensions of any length.",
            )
        return read
    signature = from_input(given)
    if found := disagreements(signature, read, "version.signature"):
        raise InvalidArgument(found)
    return signature


def from_input(given: SignatureInput) -> Signature:
    """A signature as it was asked for."""

    def side(tensors: list[TensorInput]) -> tuple[Tensor, ...]:
        return tuple(Tensor(t.name, t.datatype, tuple(t.shape), t.optional) for t in tensors)

    return Signature(side(given.inputs), side(given.outputs))


# --- the configuration was given ----------------------------------------------------------------------------------


def _configured(
    asked: VersionInput,
    kind: int,
    files: tuple[File, ...],
    config: triton.ModelConfig,
    onnx: OnnxModel | None,
) -> Inspected:
    if asked.serving is not None and asked.serving != ServingInput():
        raise InvalidArgument([Violation("version.serving", f"must not be set: {CONFIG_PATH} says how to serve")])
    if onnx is not None and kind == pb.FORMAT_ONNX and config.backend not in ("", ONNX_BACKEND):
        raise tritonconfig.refused(
            f"the backend is {config.backend!r} but the format ONNX is served by {ONNX_BACKEND!r}"
        )
    _expect_layout(config, files)
    signature = _settled(asked, _declared(config, onnx))
    return Inspected(kind, files, signature, tritonconfig.serving_of(config), config)


def _declared(config: triton.ModelConfig, onnx: OnnxModel | None) -> Signature | None:
    """The tensors by the configuration, else by the model file when the backend is one that reads it."""
    declared = tritonconfig.signature_of(config)
    if onnx is None or (config.backend != ONNX_BACKEND and config.platform != "onnxruntime_onnx"):
        return declared
    read = for_clients(onnx.tensors, config.max_batch_size > 0)
    if declared is not None and (found := disagreements(declared, read, CONFIG_PATH)):
        raise tritonconfig.refused("; ".join(f"{v.field}: {v.description}" for v in found[:3]))
    return declared or read


def _settled(asked: VersionInput, declared: Signature | None) -> Signature:
    if declared is not None:
        return _agreed(asked.signature, declared)
    if asked.signature is None:
        raise DomainError(
            Reason.SIGNATURE_REQUIRED,
            f"{CONFIG_PATH} declares no inputs and outputs",
            field="version.signature",
            hint="Declare them there, or give the signature.",
        )
    return from_input(asked.signature)


def _expect_layout(config: triton.ModelConfig, files: tuple[File, ...]) -> None:
    """The file that the configuration names must be among those of the version."""
    name = config.default_model_filename
    if name and str(PurePosixPath(name)) not in {file.path for file in files if file.role == MODEL}:
        raise tritonconfig.refused(f"default_model_filename is {name!r}, which is not among the files of the version")
