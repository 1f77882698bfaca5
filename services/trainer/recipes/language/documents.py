"""Documents as tokens: what cuts them, one stream of all of them in blocks, and each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from services.trainer.recipes.tokens import Tokens, tokens_of

END = "<|end|>"
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stream:
    """All documents behind each other, an end before the first and after each."""

    ids: npt.NDArray[np.int32]
    bytes: int  # of the texts, in UTF-8

    @property
    def predicted(self) -> int:
        """Tokens that have one before them."""
        return max(0, len(self.ids) - 1)

    def blocks(self, context: int) -> int:
        """How many blocks there are, the last one shorter."""
        return -(-self.predicted // context)

    def block(self, numbers: Ids, context: int) -> tuple[Ids, Ids]:
        """(n, context): tokens, and those after them; -100 behind the end of all. Each is predicted in one block."""
        places = numbers[:, None] * context + np.arange(context + 1)
        inside = places < len(self.ids)
        found = np.where(inside, self.ids[places.clip(max=len(self.ids) - 1)], 0).astype(np.int64)
        return found[:, :-1], np.where(inside[:, 1:], found[:, 1:], -100)


def texts_in(values: npt.NDArray[np.object_]) -> list[str]:
    """Those of a column that are not empty."""
    return [text for text in map(str, values) if text]


def stream_of(tokenizer: Tokenizer, texts: Sequence[str], end: int) -> Stream:
    """See `Stream`."""
    found = tokens_of(tokenizer, texts)
    ids = np.insert(found.ids, found.starts, end).astype(np.int32)
    return Stream(ids if len(texts) else np.zeros(0, np.int32), sum(len(text.encode()) for text in texts))


def documents_of(tokenizer: Tokenizer, texts: Sequence[str], end: int, context: int) -> Tokens:
    """Each by itself with an end before and after it, the first `context` tokens of that."""
    found = tokens_of(tokenizer, texts)
    taken = [found.ids[a:b] for a, b in zip(found.starts[:-1], found.starts[1:], strict=True)]
    whole = [np.concatenate([[end], each, [end]])[:context].astype(np.int32) for each in taken]
    starts = np.zeros(len(whole) + 1, np.int64)
    np.cumsum([len(each) for each in whole], out=starts[1:])
    return Tokens(np.concatenate(whole) if whole else np.zeros(0, np.int32), starts)


def of_bytes() -> Tokenizer:
    """A token for each byte, and one for the end: nothing is unknown, and nothing has to be learnt."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    found = Tokenizer(models.BPE(vocab={each: number for number, each in enumerate(alphabet)}, merges=[]))
    return _bytewise(found, special=True)


def learnt(texts: Sequence[str], size: int) -> Tokenizer:
    """Byte pairs that occur most often, joined until there are `size` tokens (Sennrich, Haddow, Birch 2016)."""
    found = _bytewise(Tokenizer(models.BPE()), special=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    found.train_from_iterator(texts, trainer)
    return found


def _bytewise(tokenizer: Tokenizer, *, special: bool) -> Tokenizer:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if special:
        tokenizer.add_special_tokens([END])
    return tokenizer
