"""An explainer as Triton's Python backend runs it: it explains a model by asking the gateway for that model's answers.

Every explainer's version has this file as `model.py` and the folder `portable` beside it, and nothing else of BMASE.
A gateway on another machine is reached with what the node's environment has: BMASE_EXPLAINER_TOKEN, BMASE_EXPLAINER_CA.
"""

from __future__ import annotations

import http
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from portable import local, requests
from portable.gateway import Gateway, GatewayError, Target
from portable.requests import SUFFIX, Asked, RequestError, Setting

Array = np.ndarray
# A node's own first requests to a version say this. They are answered without the gateway: the node may start before
# the model that is explained, and an explainer that loads is sound without it.
WARM_UP = "bmase-warmup"
WAVE = 32  # requests to the model, between which is looked whether the client still waits
BLAMED = (http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class CancelledError(Exception):
    """The client does not wait any more."""


class TritonPythonModel:
    """One instance of one explainer; the names of class and methods are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the configuration and the background; connects to nothing yet."""
        self._setting = Setting.read(json.loads(args["model_config"]))
        token, ca = (os.environ.get(f"BMASE_EXPLAINER_{name}", "") for name in ("TOKEN", "CA"))
        self._gateway = Gateway(self._setting.gateway, token.strip(), ca)
        with np.load(Path(__file__).with_name("background.npz"), allow_pickle=False) as kept:
            self._background = {name: kept[name] for name in kept.files}

    def execute(self, requests_: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self._response(request) for request in requests_]

    def _response(self, request: Any) -> Any:
        try:
            given = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            asked = self._setting.asked.changed(json.loads(request.parameters() or "{}"))
            answer = self._explained(given, asked, request)
            return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in answer.items()])
        except Exception as error:
            return pb_utils.InferenceResponse(error=_failure(error, self._setting.model))

    def _explained(self, given: Mapping[str, Array], asked: Asked, request: Any) -> dict[str, Array]:
        if request.request_id() == WARM_UP:
            return self._explain(given, asked, _stand_in, 0)
        target = self._gateway.choose(self._setting.model, asked.version)
        try:
            return self._explain(given, asked, self._asking(target, request), target.version)
        except GatewayError as error:
            if error.status != http.HTTPStatus.NOT_FOUND or asked.version:
                raise
            # It went out of service meanwhile: the route names another one by now.
            target = self._gateway.choose(self._setting.model)
            return self._explain(given, asked, self._asking(target, request), target.version)

    def _asking(self, target: Target, request: Any) -> local.Predict:
        """The model as a function, which ends when the client does not wait any more."""

        def predict(mixtures: Mapping[str, Array]) -> Array:
            parts, step = [], WAVE * target.rows
            for start in range(0, len(next(iter(mixtures.values()))), step):
                if request.is_cancelled():
                    raise CancelledError
                wave = {name: array[start : start + step] for name, array in mixtures.items()}
                parts.append(self._gateway.ask(target, wave, self._setting.output))
            return np.concatenate(parts)

        return predict

    def _explain(
        self, given: Mapping[str, Array], asked: Asked, predict: local.Predict, version: int
    ) -> dict[str, Array]:
        inputs, background, rows = requests.arrays(self._setting, given, self._background)
        players = requests.players(self._setting, asked, inputs)
        found = {f"{name}{SUFFIX}": np.zeros(array.shape, np.float32) for name, array in inputs.items()}
        numbers: dict[str, list[float]] = {"base": [], "explained": [], "output_index": []}
        for index in range(rows):
            row = {name: array[index] for name, array in inputs.items()}
            shares = local.explain(
                predict, row, background, players, method=asked.method, samples=asked.samples, seed=asked.seed
            )
            output = requests.chosen(shares.whole, asked.output_index)
            for name, values in players.spread(shares.values[:, output]).items():
                found[f"{name}{SUFFIX}"][index] = values
            for key, value in (("base", shares.empty[output]), ("explained", shares.whole[output])):
                numbers[key].append(float(value))
            numbers["output_index"].append(output)
        kinds = {"base": np.float64, "explained": np.float64, "output_index": np.int64}
        plain = {name: np.array(values, kinds[name])[:, None] for name, values in numbers.items()}
        return {**found, **plain, "version": np.full((rows, 1), version, np.int64)}


def _stand_in(inputs: Mapping[str, Array]) -> Array:
    """An answer to a request that is for trying only: the mean of all numbers of a row."""
    rows = len(next(iter(inputs.values())))
    numbers = [array.reshape(rows, -1).astype(np.float64) for array in inputs.values() if array.dtype.kind in "biuf"]
    return np.mean(np.concatenate([*numbers, np.zeros((rows, 1))], axis=1), axis=1, keepdims=True)


def _failure(error: Exception, model: str) -> Any:
    """What the request caused is told apart from a model that does not answer, and from what broke here."""
    codes = pb_utils.TritonError
    if isinstance(error, CancelledError):
        return codes("explanation: nobody waits for it any more", codes.CANCELLED)
    if isinstance(error, RequestError | ValueError):
        return codes(f"explanation: {error}", codes.INVALID_ARG)
    if isinstance(error, GatewayError):
        code = codes.INVALID_ARG if error.status in BLAMED else codes.UNAVAILABLE
        if error.status == http.HTTPStatus.NOT_FOUND:
            code = codes.NOT_FOUND
        return codes(f"the model {model!r} gave no answer to explain: {error}", code)
    return codes(f"explanation: {type(error).__name__}: {error}", codes.INTERNAL)
