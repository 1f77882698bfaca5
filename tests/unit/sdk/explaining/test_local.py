"""Rows are cut into players, mixed with a background, and what the players add is told per value."""

from __future__ import annotations

import numpy as np
import pytest
from bmase.explaining.portable import local, players


def test_a_table_has_a_player_a_column_under_its_name() -> None:
    made = players.of({"x": (3,), "age": ()}, names={"x": ("a", "b")})
    assert made.names == ("a", "b", "x[2]", "age")
    assert made.labels["x"].tolist() == [0, 1, 2]
    assert made.labels["age"].tolist() == 3


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (28, 28, 3), (3, 28, 28)])
def test_a_picture_is_cut_into_regions_with_all_channels(shape: tuple[int, ...]) -> None:
    made = players.of({"image": shape})
    assert made.count == 49
    assert made.names[8] == "image[4:8, 4:8]"
    assert set(made.sizes().tolist()) == {16 * (3 if 3 in shape else 1)}


def test_regions_at_the_edge_are_smaller() -> None:
    made = players.of({"image": (1, 10, 7)}, patch=4)
    assert made.names[-1] == "image[8:10, 4:7]"
    assert sorted(made.sizes().tolist()) == [6, 8, 12, 12, 16, 16]


def test_a_text_has_a_player_a_token_and_its_mask_stays() -> None:
    made = players.of({"ids": (5,), "mask": (5,)}, keep=["mask"])
    assert made.count == 5
    assert (made.labels["mask"] == players.FIXED).all()


def test_what_is_not_kept_comes_from_the_background() -> None:
    made = players.of({"x": (2,), "mask": (1,)}, keep=["mask"])
    row = {"x": np.array([1.0, 2.0]), "mask": np.array([7])}
    others = {"x": np.array([[10.0, 20.0], [30.0, 40.0]]), "mask": np.array([[0], [0]])}
    mixed = players.mixed(made, row, others, np.array([[True, False], [False, False]]))
    assert mixed["x"].tolist() == [[1, 20], [1, 40], [10, 20], [30, 40]]
    assert mixed["mask"].tolist() == [[7]] * 4


def test_shares_are_spread_over_the_values_of_their_player() -> None:
    made = players.of({"image": (8, 8), "m": (2,)}, patch=4, keep=["m"])
    spread = made.spread(np.array([16.0, 0, -32, 0]))
    assert spread["image"][:4, :4].tolist() == [[1.0] * 4] * 4
    assert spread["image"][4:, :4].sum() == -32
    assert not spread["m"].any()


def planted(inputs):
    x = inputs["x"]
    return np.stack([np.tanh(3 * x[:, 2] + 0.1 * x.sum(axis=1)), x[:, 0]], axis=1)


@pytest.mark.parametrize("method", local.METHODS)
def test_a_planted_feature_comes_first(method: str) -> None:
    random = np.random.default_rng(0)
    row, background = {"x": np.full(6, 0.5, np.float32)}, {"x": random.normal(size=(20, 6)).astype(np.float32)}
    found = local.explain(planted, row, background, players.of({"x": (6,)}), method=method)
    assert np.abs(found.values).argmax(axis=0).tolist() == [2, 0]
    np.testing.assert_allclose(found.whole, planted({"x": row["x"][None]})[0], atol=1e-6)
    np.testing.assert_allclose(found.empty, planted(background).mean(axis=0), atol=1e-6)


def test_more_than_can_be_fitted_is_refused_before_anything_is_asked() -> None:
    parts = 5000
    wide, background = {"x": np.ones(parts)}, {"x": np.zeros((1, parts))}
    asked: list[int] = []

    def first(inputs):
        asked.append(len(inputs["x"]))
        return inputs["x"][:, :1]

    with pytest.raises(ValueError, match="3200 coalitions are the most for 5000 parts"):
        local.explain(first, wide, background, players.of({"x": (parts,)}))
    assert not asked
    fewer = local.explain(first, wide, background, players.of({"x": (parts,)}), samples=20)
    assert local.additivity_error(fewer, 0) < 1e-9


def test_it_is_the_mean_of_what_each_row_of_the_background_gives() -> None:
    row, background = {"x": np.array([1.0, 2.0])}, {"x": np.array([[0.0, 0.0], [3.0, -1.0]])}
    product = lambda i: i["x"].prod(axis=1, keepdims=True)  # noqa: E731
    both = local.explain(product, row, background, players.of({"x": (2,)}))
    each = [local.explain(product, row, {"x": b[None]}, players.of({"x": (2,)})) for b in background["x"]]
    np.testing.assert_allclose(both.values, np.mean([one.values for one in each], axis=0))


def test_mixtures_are_made_in_parts_that_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def answer(inputs):
        seen.append(len(inputs["x"]))
        return inputs["x"].sum(axis=1, keepdims=True)

    row, background = {"x": np.arange(5.0)}, {"x": np.zeros((3, 5))}
    whole = local.explain(answer, row, background, players.of({"x": (5,)}))
    monkeypatch.setattr(local, "BATCH_BYTES", 5 * 8 * 3 * 4)
    parts = local.explain(answer, row, background, players.of({"x": (5,)}))
    assert (seen[0], max(seen[1:])) == (32 * 3, 4 * 3)
    np.testing.assert_allclose(parts.values, whole.values)


@pytest.mark.parametrize(
    ("background", "words"),
    [({"y": np.zeros((1, 2))}, "no 'x'"), ({"x": np.zeros((1, 3))}, "has the shape \\[3\\] a row, the input \\[2\\]")],
)
def test_a_background_that_does_not_fit_is_named(background: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        local.explain(planted, {"x": np.zeros(2)}, background, players.of({"x": (2,)}))


def test_a_background_of_one_token_serves_texts_of_any_length() -> None:
    row = {"ids": np.array([5, 9, 7])}
    nines = lambda i: (i["ids"] == 9).any(axis=1, keepdims=True).astype(float)  # noqa: E731
    found = local.explain(nines, row, {"ids": np.array([[0]])}, players.of({"ids": (3,)}))
    np.testing.assert_allclose(found.values[:, 0], [0, 1, 0], atol=1e-12)
