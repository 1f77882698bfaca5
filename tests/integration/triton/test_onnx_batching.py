"""Requests that Triton puts together share one session run, and none of them pays for another's mistake."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
from tritonclient.utils import InferenceServerException

from tests.support import onnx_models
from tests.support.gateway import eventually
from tests.support.triton import Triton

# Long enough that requests sent at once end up in one batch even on a busy machine.
GATHER = "{ max_queue_delay_microseconds: 300000 preferred_batch_size: [8] }"


def serve(triton: Triton, name: str, made: object, x: tuple[str, list[int]], y: tuple[str, list[int]]) -> None:
    """Loads a model that waits for eight rows."""
    config = onnx_models.config_text(name, [("x", *x)], [("y", *y)], max_batch_size=8, dynamic_batching=GATHER)
    onnx_models.write(triton.repository, name, made, config)  # type: ignore[arg-type]
    triton.load(name)


def send_together(triton: Triton, model: str, arrays: Sequence[np.ndarray], datatype: str) -> list[object]:
    """The answers (arrays) or errors of requests that are all in flight at once, in order."""
    done: queue.Queue[tuple[int, object]] = queue.Queue()
    with triton.client() as client:
        for position, array in enumerate(arrays):
            tensor = grpc_client.InferInput("x", list(array.shape), datatype)
            tensor.set_data_from_numpy(array)

            def take(result: grpc_client.InferResult, error: Exception, position: int = position) -> None:
                done.put((position, error or result.as_numpy("y")))

            client.async_infer(model, [tensor], take)
        answers = dict(done.get(timeout=30) for _ in arrays)
    return [answers[position] for position in range(len(arrays))]


def executions(triton: Triton, model: str, rows: int) -> int:
    """In how many model executions Triton has counted so many rows; it counts a batch after it has answered."""
    with triton.client() as client:
        statistics = partial(client.get_inference_statistics, model)
        eventually(lambda: statistics().model_stats[0].inference_count >= rows, f"{rows} rows counted")
        stats = statistics().model_stats[0]
    assert stats.inference_count == rows
    return int(stats.execution_count)


def test_a_batch_is_one_run_and_everyone_gets_their_own_rows(triton: Triton) -> None:
    serve(triton, "batched", onnx_models.affine(2, 1), ("FP32", [4]), ("FP32", [4]))
    arrays = [np.full((1 + n % 2, 4), n, np.float32) for n in range(16)]
    answers = send_together(triton, "batched", arrays, "FP32")
    for sent, got in zip(arrays, answers, strict=True):
        assert isinstance(got, np.ndarray), got
        assert got.tolist() == (2 * sent + 1).tolist()
    assert executions(triton, "batched", 24) <= 6, "24 rows in batches of eight, with room for an unlucky split"


def test_the_graph_itself_sees_the_whole_batch(triton: Triton) -> None:
    serve(triton, "rows_seen", onnx_models.rows_seen(), ("FP32", [4]), ("FP32", [4]))
    answers = send_together(triton, "rows_seen", [np.zeros((1, 4), np.float32)] * 8, "FP32")
    seen = [answer[0, 0] for answer in answers]  # type: ignore[index]
    runs = executions(triton, "rows_seen", 8)
    assert max(seen) > 1
    assert sum(1 / rows for rows in seen) == pytest.approx(runs), "as many session runs as Triton made batches"


def test_rows_that_the_graph_refuses_fail_alone(triton: Triton) -> None:
    serve(triton, "lookup", onnx_models.lookup([10, 11, 12]), ("INT64", [1]), ("FP32", [1]))
    indices = [0, 1, 99, 2, 0, -99, 1, 2]
    answers = send_together(triton, "lookup", [np.array([[i]], np.int64) for i in indices], "INT64")
    for index, answer in zip(indices, answers, strict=True):
        if abs(index) > 3:
            assert isinstance(answer, InferenceServerException)
            assert answer.status() == "StatusCode.INVALID_ARGUMENT"
            assert str(index) in answer.message(), "the error names the index"
        else:
            assert answer.tolist() == [[10 + index]]  # type: ignore[attr-defined]


def test_bytes_that_are_no_text_fail_alone_and_name_the_element(triton: Triton) -> None:
    serve(triton, "texts", onnx_models.identity("BYTES"), ("BYTES", [4]), ("BYTES", [4]))
    good, bad = [b"a", "ü".encode(), b"", b"z"], [b"a", b"b", b"\xff\xfe", b"z"]
    answers = send_together(triton, "texts", [np.array([row], object) for row in (good, bad, good, good)], "BYTES")
    assert isinstance(answers[1], InferenceServerException)
    assert answers[1].status() == "StatusCode.INVALID_ARGUMENT"
    assert "input 'x': element 2 is not valid UTF-8" in answers[1].message()
    for position in (0, 2, 3):
        assert answers[position].tolist() == [good]  # type: ignore[attr-defined]


def test_requests_of_different_shapes_are_all_answered(triton: Triton) -> None:
    made = onnx_models.identity("FP32", ["batch", "width"])
    serve(triton, "ragged", made, ("FP32", [-1]), ("FP32", [-1]))
    arrays = [np.full((1, 1 + n % 3), n, np.float32) for n in range(9)]
    for sent, got in zip(arrays, send_together(triton, "ragged", arrays, "FP32"), strict=True):
        assert got.tolist() == sent.tolist()  # type: ignore[attr-defined]


def test_an_output_without_rows_is_not_cut_up(triton: Triton) -> None:
    serve(triton, "total", onnx_models.column_sums(), ("FP32", [4]), ("FP32", [4]))
    arrays = [np.full((1, 4), n, np.float32) for n in range(8)]
    for sent, got in zip(arrays, send_together(triton, "total", arrays, "FP32"), strict=True):
        assert got.tolist() == sent.tolist(), "each request's own sums, not those of its batch"  # type: ignore[attr-defined]


@pytest.mark.parametrize("elements", [150_000, 5_000_000])
def test_large_tensors(triton: Triton, elements: int) -> None:
    model = f"large_{elements}"
    serve(triton, model, onnx_models.affine(1, 1, width=elements), ("FP32", [elements]), ("FP32", [elements]))
    rows = [np.arange(elements, dtype=np.float32).reshape(1, -1) for _ in range(2)]
    for got in send_together(triton, model, rows, "FP32"):
        assert isinstance(got, np.ndarray), got
        assert (got == rows[0] + 1).all()
    triton.unload(model)
