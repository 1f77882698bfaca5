"""Texts as the numbers that transformers take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from services.kit.errors import InvalidArgument, Violation

FILE = "tokenizer.json"
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens of many texts behind each other: `ids`, and where each text begins (n + 1,)."""

    ids: npt.NDArray[np.int32]
    starts: Ids

    @property
    def lengths(self) -> Ids:
        return np.diff(self.starts)

    def padded(self, rows: Ids, pad: int, length: int = 0) -> tuple[Ids, Ids]:
        """(rows, length): tokens and mask of these texts; by default as long as the longest of them."""
        lengths = self.lengths[rows]
        mask = np.arange(length or max(1, lengths.max(initial=0))) < lengths[:, None]
        ids = np.full(mask.shape, pad, np.int64)
        ids[mask] = np.concatenate(
            [self.ids[self.starts[row] : self.starts[row + 1]] for row in rows] or [np.empty(0, np.int32)]
        )
        return ids, mask.astype(np.int64)


class Special(NamedTuple):
    """Numbers of tokens that stand for no text; None where a tokenizer has none."""

    pad: int | None
    end: int | None


def check_texts(values: npt.NDArray[Any], column: str) -> None:
    """InvalidArgument unless it is a column of texts. Bytes are none: nobody says in which encoding."""
    if values.ndim != 1 or values.dtype.kind not in "OU" or not all(isinstance(value, str) for value in values):
        kind = type(values[0]).__name__ if values.dtype.kind == "O" and len(values) else values.dtype.name
        raise InvalidArgument([Violation("job.data", f"the column {column} holds {kind}, not texts")])


def tokens_of(tokenizer: Tokenizer, texts: Iterable[str]) -> Tokens:
    """As the tokenizer cuts them."""
    found = [each.ids for each in tokenizer.encode_batch(list(texts))]
    starts = np.zeros(len(found) + 1, np.int64)
    np.cumsum([len(each) for each in found], out=starts[1:])
    return Tokens(np.fromiter((one for each in found for one in each), np.int32, int(starts[-1])), starts)


def load(folder: Path) -> Tokenizer:
    """The tokenizer of a product, which cuts texts to what its model takes."""
    return Tokenizer.from_file(str(folder / FILE))


def from_pretrained(folder: Path, max_length: int = 0) -> tuple[Tokenizer, Special]:
    """The tokenizer of a pretrained folder, cutting at `max_length` tokens, if that is given."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds; not where a product's tokenizer is enough

    whole = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True, trust_remote_code=False)
    found = Tokenizer.from_str(whole.backend_tokenizer.to_str())
    found.no_padding()
    found.no_truncation()
    if max_length:
        found.enable_truncation(max_length)
    return found, Special(whole.pad_token_id, whole.eos_token_id)
