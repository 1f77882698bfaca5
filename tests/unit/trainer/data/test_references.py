"""References: a fair sample of the stream, which passes unchanged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from bmase.core import tensors
from bmase.errors import InvalidArgument as Refused

from services.kit.errors import InvalidArgument
from services.trainer.data import Batch, ReferenceTap, references


def stream(rows: int, size: int = 500) -> Iterator[Batch]:
    for start in range(0, rows, size):
        x = np.arange(start, min(start + size, rows), dtype=np.float64)
        yield {"x": x, "p": np.stack([x, -x], axis=1), "other": x}


def sampled(tap: ReferenceTap) -> dict[str, np.ndarray]:
    request = tap.request()
    return {
        tensor.name: tensors.decode(tensor.raw, tensor.datatype, tensor.shape)
        for tensor in (*request.inputs, *request.outputs)
    }


def test_the_stream_passes_unchanged() -> None:
    tap = ReferenceTap({"x": "input:x"})
    seen = np.concatenate([batch["x"] for batch in tap.watch(stream(1200))])
    assert seen.tolist() == list(range(1200))


def test_few_rows_are_all_kept_in_order_under_their_names() -> None:
    tap = ReferenceTap({"x": "input:feature", "p": "output:probability"})
    list(tap.watch(stream(1200)))
    request = tap.request()
    assert ([tensor.name for tensor in request.inputs], [tensor.name for tensor in request.outputs]) == (
        ["feature"],
        ["probability"],
    )
    found = sampled(tap)
    assert found["feature"].tolist() == list(range(1200))
    assert (found["probability"] == np.stack([np.arange(1200), -np.arange(1200)], axis=1)).all()


def test_many_rows_are_a_fair_sample_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MAX_ROWS", 1000)
    tap = ReferenceTap({"x": "input:x"})
    most = 0
    for _ in tap.watch(stream(60_000)):
        most = max(most, sum(len(batch["x"]) for batch in tap._held))
    found = sampled(tap)["x"]
    assert len(found) == 1000
    assert (np.diff(found) > 0).all()
    assert most <= 2000 + 500
    # Uniform over the stream: a Kolmogorov distance beyond 1.95 / sqrt(n) has a probability of 0.1 %.
    distance = np.abs((found + 0.5) / 60_000 - (np.arange(1000) + 0.5) / 1000).max()
    assert distance < 1.95 / 1000**0.5


def test_the_sample_does_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MAX_ROWS", 100)
    taps = [ReferenceTap({"x": "input:x"}) for _ in range(2)]
    for tap, size in zip(taps, (37, 900), strict=True):
        list(tap.watch(stream(5000, size)))
    assert sampled(taps[0])["x"].tolist() == sampled(taps[1])["x"].tolist()


def test_wide_rows_and_long_texts_fit_into_a_message() -> None:
    tap = ReferenceTap({"t": "input:text"}, most_bytes=10_000)
    text = np.empty(300, object)
    text[:] = ["ü" * 200] * 300
    list(tap.watch([{"t": text}] * 3))
    request = tap.request()
    assert 0 < len(request.inputs[0].raw) <= 10_000


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidArgument, match="names: y is none of the columns other, p, x"):
        list(ReferenceTap({"y": "input:y"}).watch(stream(10)))


def test_no_rows_make_no_reference() -> None:
    with pytest.raises(Refused):
        ReferenceTap({"x": "input:x"}).request()
