"""config.pbtxt, written and read."""

from __future__ import annotations

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.registry import tritonconfig
from services.registry.content import CONFIG, MODEL, File, sha256, version_digest
from services.registry.signature import Signature, Tensor, batched_scalars, disagreements, for_clients
from services.registry.tritonconfig import Batching, Serving

FILE = Signature(
    (Tensor("x", "FP32", (-1, 28, 28)), Tensor("k", "INT64", (-1,), optional=True)), (Tensor("y", "BYTES", (-1, 10)),)
)
NASTY = 'a"\n} backend: "python" {\\'


def text(serving: Serving, number: int = 3) -> str:
    signature = for_clients(FILE, bool(serving.max_batch_size))
    config = tritonconfig.composed(serving, signature, batched_scalars(FILE))
    return tritonconfig.for_version(config, "digits", number).decode()


def test_what_is_written_says_what_was_meant() -> None:
    serving = Serving(16, Batching((4, 8), 100), 2, {"b": "2", "a": "1"}, "onnxruntime")
    config = tritonconfig.parsed(text(serving).encode(), "digits")
    assert (config.name, config.backend, config.max_batch_size) == ("digits", "onnxruntime", 16)
    assert list(config.version_policy.specific.versions) == [3]
    assert [(i.name, list(i.dims), i.optional) for i in config.input] == [("x", [28, 28], False), ("k", [1], True)]
    assert (config.output[0].name, list(config.output[0].dims)) == ("y", [10])
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.instance_group[0].count == 2
    assert tritonconfig.serving_of(config) == serving


def test_one_number_an_item_is_reshaped() -> None:
    config = tritonconfig.parsed(text(Serving(8, backend="b")).encode(), "digits")
    assert [i.HasField("reshape") for i in config.input] == [False, True]
    assert not config.input[1].reshape.shape


def test_without_batches_there_is_no_dynamic_batching() -> None:
    config = tritonconfig.parsed(text(Serving(0, Batching(), backend="b")).encode(), "digits")
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [-1, 28, 28]


def test_equal_input_gives_equal_bytes() -> None:
    one = text(Serving(8, parameters={"a": "1", "b": "2"}))
    assert one == text(Serving(8, parameters={"b": "2", "a": "1"}))
    assert one != text(Serving(8, parameters={"a": "1"}))


def test_nothing_can_be_smuggled_into_the_text() -> None:
    signature = Signature((Tensor(NASTY, "FP32", (1,)),), (Tensor("y", "FP32", (1,)),))
    serving = Serving(0, None, 1, {NASTY: NASTY}, "onnxruntime")
    raw = tritonconfig.for_version(tritonconfig.composed(serving, signature, frozenset()), "digits", 1)
    config = tritonconfig.parsed(raw, "digits")
    assert config.backend == "onnxruntime"
    assert config.input[0].name == NASTY
    assert config.parameters[NASTY].string_value == NASTY


def test_a_given_policy_and_name_are_replaced() -> None:
    given = tritonconfig.parsed(b'backend: "python" version_policy { latest { num_versions: 2 } }', "digits")
    bound = tritonconfig.parsed(tritonconfig.for_version(given, "digits", 7), "digits")
    assert (bound.name, list(bound.version_policy.specific.versions)) == ("digits", [7])


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe",
        b"{",
        b'backend: "x" max_batch_size: "many"',
        b'name: "others" backend: "x"',
        b"",
        b'backend: "x" dynamic_batching { max_queue_delay_microseconds: 3000000000 }',
        b'backend: "x" instance_group { count: 2000000000 } instance_group { count: 2000000000 }',
    ],
)
def test_what_is_no_configuration_is_refused(raw: bytes) -> None:
    with pytest.raises(DomainError) as caught:
        tritonconfig.parsed(raw, "digits")
    assert caught.value.reason is Reason.INVALID_MODEL_FILE
    assert caught.value.metadata == {"path": "config.pbtxt"}


def test_more_tensors_than_a_signature_may_have_are_refused() -> None:
    tensors = "".join(f'input {{ name: "i{index}" data_type: TYPE_FP32 dims: 1 }}' for index in range(1001))
    config = tritonconfig.parsed(f'backend: "python" {tensors}'.encode(), "digits")
    with pytest.raises(DomainError, match="1001 inputs") as caught:
        tritonconfig.signature_of(config)
    assert caught.value.reason is Reason.INVALID_MODEL_FILE


def test_a_version_is_known_by_its_content() -> None:
    files = [File("model.onnx", sha256(b"a"), MODEL, 1), File("config.pbtxt", sha256(b"b"), CONFIG, 1)]
    base = version_digest(files, FILE, Serving(8))
    assert base == version_digest(reversed(files), FILE, Serving(8))
    assert base == version_digest([File(f.path, f.digest, f.role, 99) for f in files], FILE, Serving(8))
    others = [
        version_digest([File("other.onnx", sha256(b"a"), MODEL), files[1]], FILE, Serving(8)),
        version_digest([File("model.onnx", sha256(b"c"), MODEL), files[1]], FILE, Serving(8)),
        version_digest(files, for_clients(FILE, True), Serving(8)),
        version_digest(files, FILE, Serving(8, instances=2)),
        version_digest(files, FILE, Serving(8, None)),
    ]
    assert len({base, *others}) == 6


def test_a_given_signature_may_say_more_but_nothing_else() -> None:
    read = for_clients(FILE, batched=False)
    assert not disagreements(read, read, "s")
    exact = Signature((Tensor("x", "FP32", (1, 28, 28)), read.inputs[1]), read.outputs)
    assert not disagreements(exact, read, "s")
    assert [v.field for v in disagreements(read, exact, "s")] == ["s.inputs[0].shape"]
    fewer = Signature(read.inputs[:1], ())
    assert [v.field for v in disagreements(fewer, read, "s")] == ["s.inputs", "s.outputs"]
    assert "'k'" in disagreements(fewer, read, "s")[0].description
