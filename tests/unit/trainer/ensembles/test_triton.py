"""What is written for Triton's ensemble scheduling, and the model that averages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.ensembles.triton import Part, scheduled
from tests.unit.trainer.ensembles import court

MEMBER = """
backend: "python" max_batch_size: 16
input { name: "image" data_type: TYPE_FP32 dims: [28, 28] }
output { name: "scores" data_type: TYPE_FP32 dims: [3] }
output { name: "embedding" data_type: TYPE_FP16 dims: [-1] }
"""


def config(text: str = MEMBER) -> triton.ModelConfig:
    return text_format.Parse(text, triton.ModelConfig())


def two(change: Callable[[triton.ModelConfig], Any] = lambda _: None, **settings: Any) -> list[Part]:
    other = config()
    change(other)
    return [Part("digits.cnn", 3, config(), 0.75), Part("digits.trees", 5, other, 0.25, **settings)]


def read(files: dict[str, bytes], path: str) -> triton.ModelConfig:
    return text_format.Parse(files[path].decode(), triton.ModelConfig())


def test_members_run_on_the_inputs_and_the_average_on_what_they_give() -> None:
    files = scheduled("digits", 7, two())
    assert sorted(files) == [
        "digits.average/7/model.onnx",
        "digits.average/config.pbtxt",
        "digits/7/members.json",
        "digits/config.pbtxt",
    ]
    ensemble = read(files, "digits/config.pbtxt")
    assert (ensemble.name, ensemble.platform, ensemble.max_batch_size) == ("digits", "ensemble", 16)
    assert list(ensemble.version_policy.specific.versions) == [7]
    assert [tensor.name for tensor in ensemble.input] == ["image"]
    assert [(tensor.name, list(tensor.dims)) for tensor in ensemble.output] == [("scores", [3]), ("embedding", [-1])]
    steps = ensemble.ensemble_scheduling.step
    called = [(step.model_name, step.model_version) for step in steps]
    assert called == [("digits.cnn", 3), ("digits.trees", 5), ("digits.average", 7)]
    assert dict(steps[1].input_map) == {"image": "image"}
    assert dict(steps[1].output_map) == {"scores": "member1/scores", "embedding": "member1/embedding"}
    assert dict(steps[2].output_map) == {"scores": "scores", "embedding": "embedding"}


def test_the_average_takes_exactly_what_members_give() -> None:
    files = scheduled("digits", 7, two())
    average = read(files, "digits.average/config.pbtxt")
    last = read(files, "digits/config.pbtxt").ensemble_scheduling.step[2]
    session = onnxruntime.InferenceSession(files["digits.average/7/model.onnx"])
    assert {tensor.name for tensor in average.input} == set(last.input_map)
    assert {tensor.name for tensor in average.input} == {tensor.name for tensor in session.get_inputs()}
    assert [tensor.name for tensor in average.output] == [tensor.name for tensor in session.get_outputs()]
    assert (average.backend, average.max_batch_size) == ("onnxruntime", 16)
    assert average.HasField("dynamic_batching")


@pytest.mark.parametrize("rows", [1, 16])
def test_the_average_is_the_weighted_one(rows: int) -> None:
    files = scheduled("digits", 7, two(logits=True), ["scores"])
    session = onnxruntime.InferenceSession(files["digits.average/7/model.onnx"])
    rng = np.random.default_rng(rows)
    one, logits = (rng.normal(size=(rows, 3)).astype(np.float32) for _ in range(2))
    (average,) = session.run(None, {"member0/scores": one, "member1/scores": logits})
    np.testing.assert_allclose(average, 0.75 * one + 0.25 * court.softmax(logits), atol=1e-6)


def test_without_batches_shapes_are_whole() -> None:
    def unbatched(text: triton.ModelConfig) -> None:
        text.max_batch_size = 0

    parts = two(unbatched)
    unbatched(parts[0].config)
    files = scheduled("digits", 7, parts, ["embedding"])
    session = onnxruntime.InferenceSession(files["digits.average/7/model.onnx"])
    given = {f"member{place}/embedding": np.full(5, value, np.float16) for place, value in enumerate((1, 2))}
    np.testing.assert_allclose(session.run(None, given)[0], np.full(5, 1.25), atol=1e-3)
    assert not read(files, "digits.average/config.pbtxt").HasField("dynamic_batching")


def test_the_smallest_batch_and_the_narrowest_shape_hold_for_all() -> None:
    def other(text: triton.ModelConfig) -> None:
        text.max_batch_size = 4
        text.output[1].dims[:] = [8]

    ensemble = read(scheduled("digits", 7, two(other)), "digits/config.pbtxt")
    assert (ensemble.max_batch_size, list(ensemble.output[1].dims)) == (4, [8])


def test_who_has_no_weight_is_not_called() -> None:
    parts = [*two(), Part("digits.old", 1, config('backend: "python" max_batch_size: 0'), 0.0)]
    listed = json.loads(scheduled("digits", 7, parts)["digits/7/members.json"])["members"]
    assert [(each["model"], each["weight"]) for each in listed] == [("digits.cnn", 0.75), ("digits.trees", 0.25)]


def test_equal_arguments_give_equal_bytes() -> None:
    assert scheduled("digits", 7, two()) == scheduled("digits", 7, two())
    assert scheduled("digits", 7, two()) != scheduled("digits", 8, two())


def dims(place: int, *sizes: int) -> Callable[[triton.ModelConfig], None]:
    def change(text: triton.ModelConfig) -> None:
        text.output[place].dims[:] = sizes

    return change


def doubled(text: triton.ModelConfig) -> None:
    text.output[0].data_type = triton.TYPE_FP64


def counted(text: triton.ModelConfig) -> None:
    text.output[0].data_type = triton.TYPE_INT64


def narrow(text: triton.ModelConfig) -> None:
    text.input[0].dims[:] = [14, 14]


def renamed(text: triton.ModelConfig) -> None:
    text.input[0].name = "pixels"


def optional(text: triton.ModelConfig) -> None:
    text.input[0].optional = True


def unbatched(text: triton.ModelConfig) -> None:
    text.max_batch_size = 0


def decoupled(text: triton.ModelConfig) -> None:
    text.model_transaction_policy.decoupled = True


def silent(text: triton.ModelConfig) -> None:
    del text.output[1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (dims(0, 4), "gives 'scores' as TYPE_FP32 [4], members before it as TYPE_FP32 [3]"),
        (dims(0, 3, 1), "gives 'scores' as TYPE_FP32 [3, 1]"),
        (doubled, "gives 'scores' as TYPE_FP64 [3], members before it as TYPE_FP32 [3]"),
        (counted, "its output 'scores' is TYPE_INT64 [3], which has no average"),
        (narrow, "takes 'image' as TYPE_FP32 [14, 14], member 'digits.cnn' as TYPE_FP32 [28, 28]"),
        (renamed, "takes pixels, member 'digits.cnn' takes image"),
        (optional, "its input 'image' is optional"),
        (unbatched, "max_batch_size is digits.cnn 16, digits.trees 0"),
        (lambda text: text.sequence_batching.SetInParent(), "it keeps state between requests"),
        (decoupled, "it may answer a request several times or never"),
        (silent, "it has no output 'embedding'; it gives scores"),
    ],
)
def test_members_that_do_not_go_together_are_refused(change: Callable[[triton.ModelConfig], Any], why: str) -> None:
    with pytest.raises(DomainError) as caught:
        scheduled("digits", 7, two(change))
    assert why in caught.value.message
    assert "digits.trees" in caught.value.message


def test_logits_of_unknown_width_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"outputs\[embedding\]: they are logits, but the number of classes"):
        scheduled("digits", 7, two(logits=True))


def test_the_average_needs_a_name_too() -> None:
    assert scheduled("d" * 55, 1, two())
    with pytest.raises(InvalidArgument, match="names have at most 63 characters"):
        scheduled("d" * 56, 1, two())


def test_one_tensor_cannot_be_given_and_taken() -> None:
    def same(text: triton.ModelConfig) -> triton.ModelConfig:
        text.output[0].name = "image"
        return text

    with pytest.raises(DomainError, match="'image' is an input and an output"):
        scheduled("digits", 7, [Part("a", 1, same(config()), 0.5), Part("b", 1, same(config()), 0.5)])
