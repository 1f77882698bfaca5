"""PyTorch: exported programs, TorchScript, and state dicts with the code that builds their module."""

from __future__ import annotations

import importlib
import pickle
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from services.trainer.imports.graph import OPSET
from services.trainer.imports.originals.original import NeedsInput, Original, versions
from services.trainer.imports.pickles import UnsafePickle
from services.trainer.imports.request import Request

BATCH = "batch"
GLOBAL = re.compile(r"GLOBAL ([\w.]+)")  # in torch's refusal
EXAMPLE_ROWS = 2  # one would let the exporter take the batch for a constant


def opened(request: Request) -> Original:
    torch.set_num_threads(1)
    torch.manual_seed(request.seed)
    if request.format == "pt2":
        return Exported(torch.export.load(request.model))
    if request.format == "torchscript":
        return Scripted(torch.jit.load(request.model, map_location="cpu").eval(), request)
    return Module(_built(request), request)


def _built(request: Request) -> torch.nn.Module:
    """The module that the code beside the weights makes, with the weights in it."""
    path = Path(request.model)
    if not request.module:
        raise NeedsInput(
            f"{path.name} holds numbers only: put the .py file beside it and give module=FILE:FUNCTION, "
            "which returns the module"
        )
    weights = _weights(path)
    sys.path.insert(0, str(path.parent))
    file, _, function = request.module.partition(":")
    module = getattr(importlib.import_module(file), function or "build")(**request.arguments)
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"{request.module} returned a {type(module).__name__}, not a torch.nn.Module")
    module.load_state_dict(weights, strict=True)
    return module.eval()


def _weights(path: Path) -> Mapping[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file  # noqa: PLC0415

        return load_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = GLOBAL.findall(str(error))
        if asked:
            raise UnsafePickle(list(dict.fromkeys(asked))) from None
        raise ValueError(f"{path.name} is no state dict: {str(error).splitlines()[0]}") from None
    return found.get("state_dict", found) if isinstance(found, dict) else found


class _Torch(Original):
    """`module` is called with positional tensors in the order of the inputs."""

    module: Any

    @property
    def origin(self) -> dict[str, str]:
        return {"class": type(self.module).__name__, "torch": torch.__version__, **versions("onnxscript")}

    @torch.no_grad()
    def answer(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return flat(self.module(*(torch.from_numpy(np.ascontiguousarray(each)) for each in inputs.values())))


class Exported(_Torch):
    """An exported program tells everything itself; a batch that was fixed when it was exported stays so."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.program, self.module = program, program.module()

    @property
    def origin(self) -> dict[str, str]:
        return {**super().origin, "class": "ExportedProgram"}

    def convert(self, target: Path) -> None:
        save(torch.onnx.export(self.program, dynamo=True, opset_version=OPSET, verbose=False), target)


class Scripted(_Torch):
    """TorchScript goes through the older exporter: torch.export does not take script modules."""

    def __init__(self, module: Any, request: Request) -> None:
        self.module, self.inputs = module, Inputs(request)
        self.ranges = self.inputs.ranges

    def convert(self, target: Path) -> None:
        axes = self.inputs.axes()
        outputs = flat(self.module(*self.inputs.tensors()))
        names = [f"output_{place}" for place in range(len(outputs))] if len(outputs) > 1 else ["output"]
        varying = {**axes, **{name: {0: BATCH} for name, each in zip(names, outputs, strict=True) if each.ndim}}
        torch.onnx.export(
            self.module, tuple(self.inputs.tensors()), str(target), dynamo=False, opset_version=OPSET,
            input_names=list(axes), output_names=names, dynamic_axes=varying,
        )  # fmt: skip


class Module(_Torch):
    """A module of Python, exported with its batch and whatever else was given as -1 left open."""

    def __init__(self, module: torch.nn.Module, request: Request) -> None:
        self.module, self.inputs = module, Inputs(request)
        self.ranges = self.inputs.ranges

    @property
    def origin(self) -> dict[str, str]:
        parameters = sum(each.numel() for each in self.module.parameters())
        return {**super().origin, "parameters": str(parameters)}

    def convert(self, target: Path) -> None:
        tensors = tuple(self.inputs.tensors())
        shapes = tuple(dict.fromkeys(each, torch.export.Dim.DYNAMIC) for each in self.inputs.axes().values())
        program = torch.onnx.export(
            self.module, tensors, dynamo=True, opset_version=OPSET, input_names=list(self.inputs.axes()),
            dynamic_shapes=shapes, verbose=False,
        )  # fmt: skip
        save(program, target)


class Inputs:
    """What a module takes, as the parameter `inputs` says."""

    def __init__(self, request: Request) -> None:
        if not request.inputs:
            raise NeedsInput(
                'a module does not tell what it takes: give inputs={"NAME": {"dtype": "float32", "shape": [-1, ...]}}, '
                "-1 for the batch and for what else varies"
            )
        self.told, self.seed = request.inputs, request.seed
        self.ranges = {name: (each["low"], each["high"]) for name, each in self.told.items() if "high" in each}

    def axes(self) -> dict[str, dict[int, str]]:
        """Name -> place of a dimension that varies -> what it is called."""
        named: dict[str, dict[int, str]] = {}
        for name, told in self.told.items():
            shape = told["shape"]
            named[name] = {
                place: BATCH if place == 0 else f"size{place}" for place, size in enumerate(shape) if size < 0
            }
        return named

    def tensors(self) -> list[torch.Tensor]:
        """An example that can be run."""
        random, made = np.random.default_rng(self.seed), []
        for name, told in self.told.items():
            shape = [
                (EXAMPLE_ROWS if place == 0 else 6) if size < 0 else int(size)
                for place, size in enumerate(told["shape"])
            ]
            low, high = self.ranges.get(name, (0, 2))
            whole = random.integers(int(low), max(int(high), int(low) + 1), shape)
            drawn = random.standard_normal(shape) if str(told.get("dtype", "float32")).startswith("float") else whole
            made.append(torch.from_numpy(np.asarray(drawn).astype(told.get("dtype", "float32"))))
        return made


def flat(answer: Any) -> list[np.ndarray]:
    """The tensors of an answer, in order; Nones are left out, as exporters do."""
    if isinstance(answer, torch.Tensor):
        return [answer.detach().numpy()]
    parts: Sequence[Any] = list(answer.values()) if isinstance(answer, Mapping) else answer
    return [array for part in parts if part is not None for array in flat(part)]


def save(program: Any, target: Path) -> None:
    """In one file, weights inside."""
    target.write_bytes(program.model_proto.SerializeToString())
