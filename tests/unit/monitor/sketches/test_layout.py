"""How tensors are taken apart."""

from __future__ import annotations

import numpy as np
import pytest

from services.monitor.sketches.layout import MAX_NUMBERS, Kind, Layout, Role, subsample


def image(rows: int = 3) -> np.ndarray:
    return np.arange(rows * 784, dtype=np.float32).reshape(rows, 1, 28, 28)


def test_features_are_named_by_their_place() -> None:
    names = Layout.of(Role.INPUT, "image", image()).numbers
    assert len(names) == 784
    assert names[14 * 28 + 9] == "input/image[14,9]"


def test_columns_follow_the_names() -> None:
    layout = Layout.of(Role.INPUT, "image", image())
    columns = layout.split(image()).numbers
    place = layout.numbers.index("input/image[14,9]")
    assert columns[place].tolist() == image()[:, 0, 14, 9].tolist()


def test_a_single_number_has_the_tensors_name() -> None:
    assert Layout.of(Role.INPUT, "age", np.zeros((4, 1))).features == ("input/age",)
    assert Layout.of(Role.INPUT, "age", np.zeros(4)).features == ("input/age",)


def test_a_long_row_is_sampled_and_summarised() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 3, 1000)).astype(np.float32)
    layout = Layout.of(Role.INPUT, "sound", rows)
    columns = layout.split(rows).numbers
    assert layout.numbers[-4:] == ("input/sound.mean", "input/sound.std", "input/sound.min", "input/sound.max")
    assert columns.shape == (MAX_NUMBERS + 4, 5)
    flat = rows.reshape(5, -1)
    np.testing.assert_allclose(columns[-4:], [flat.mean(1), flat.std(1), flat.min(1), flat.max(1)], rtol=1e-5)
    first = tuple(int(part) for part in layout.numbers[0].split("[")[1][:-1].split(","))
    assert columns[0].tolist() == rows[:, first[0], first[1]].tolist()


def test_the_sample_is_always_the_same() -> None:
    first, second = subsample(5000), subsample(5000)
    assert first is not None
    assert second is not None
    assert first.tolist() == second.tolist()
    assert len(set(first.tolist())) == MAX_NUMBERS
    assert subsample(MAX_NUMBERS) is None


def test_the_label_of_a_vector_is_the_place_of_its_largest() -> None:
    rows = np.array([[0.1, 0.7, 0.2], [0.6, np.nan, 0.4]], np.float32)
    layout = Layout.of(Role.OUTPUT, "probabilities", rows)
    assert layout.categories == ("output/probabilities.label",)
    assert layout.split(rows).categories["output/probabilities.label"].tolist() == [1, 0]


def test_the_label_of_an_integer_is_itself() -> None:
    rows = np.array([[7], [3]], np.int64)
    layout = Layout.of(Role.OUTPUT, "digit", rows)
    assert layout.kind is Kind.WHOLE
    assert layout.split(rows).categories["output/digit.label"].tolist() == [7, 3]


@pytest.mark.parametrize("rows", [np.zeros((2, 1), np.float32), np.zeros((2, 4, 4), np.float32)])
def test_what_is_no_vector_of_classes_has_no_label(rows: np.ndarray) -> None:
    assert Layout.of(Role.OUTPUT, "y", rows).categories == ()


def test_inputs_have_no_label() -> None:
    assert Layout.of(Role.INPUT, "x", np.zeros((2, 3), np.float32)).categories == ()


def test_strings_are_categories() -> None:
    rows = np.array([[b"red", b"s"], [b"\xff", b"m"]], object)
    layout = Layout.of(Role.INPUT, "item", rows)
    assert layout.features == ("input/item[0]", "input/item[1]")
    assert layout.split(rows).categories["input/item[0]"].tolist() == ["red", "�"]


def test_many_strings_of_a_row_are_one_feature() -> None:
    rows = np.array([["a"] * 20, ["b"] * 20], object)
    layout = Layout.of(Role.INPUT, "words", rows)
    assert layout.features == ("input/words",)
    assert layout.split(rows).categories["input/words"].tolist() == ["a"] * 20 + ["b"] * 20


def test_long_categories_are_cut() -> None:
    rows = np.array([b"x" * 10_000], object)
    layout = Layout.of(Role.INPUT, "text", rows)
    assert layout.split(rows).categories["input/text"].tolist() == ["x" * 128]


def test_rows_of_another_shape_or_kind_do_not_fit() -> None:
    layout = Layout.of(Role.INPUT, "image", image())
    assert layout.fits(image(9))
    assert layout.fits(image().astype(np.uint8))
    assert not layout.fits(image().reshape(3, 784))
    assert not layout.fits(np.array([["a"]], object))


def test_values_of_no_known_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="neither numbers nor strings"):
        Layout.of(Role.INPUT, "x", np.zeros(3, complex))


def test_what_32_bits_cannot_hold_is_infinite() -> None:
    layout = Layout.of(Role.INPUT, "x", np.zeros((1, 1)))
    assert np.isinf(layout.split(np.array([[1e300]])).numbers).all()
