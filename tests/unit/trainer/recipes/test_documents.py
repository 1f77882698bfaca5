"""Documents as tokens, in blocks and each by itself."""

from __future__ import annotations

import numpy as np

from services.trainer.recipes.language.documents import END, documents_of, learnt, of_bytes, stream_of, texts_in

TEXTS = ["ab", "Größe 40"]


def test_bytes_are_tokens_and_come_back_as_the_same_text() -> None:
    tokenizer = of_bytes()
    ids = tokenizer.encode(TEXTS[1]).ids
    assert len(ids) == len(TEXTS[1].encode())
    assert tokenizer.decode(ids) == TEXTS[1]
    assert tokenizer.token_to_id(END) == 256
    assert tokenizer.get_vocab_size() == 257


def test_a_learnt_vocabulary_is_the_same_again_and_joins_what_is_frequent() -> None:
    texts = ["the dress is lovely", "the dress is the best"] * 20
    one, other = learnt(texts, 280), learnt(texts, 280)
    assert one.to_str() == other.to_str()
    assert len(one.encode("the dress").ids) < len("the dress") / 2
    assert one.decode(one.encode("unseen Ω").ids).strip() == "unseen Ω"


def test_every_token_but_the_first_is_predicted_in_one_block() -> None:
    stream = stream_of(of_bytes(), TEXTS, 256)
    assert stream.ids[[0, 3, -1]].tolist() == [256, 256, 256]
    assert stream.bytes == 2 + 10
    assert stream.predicted == 12 + 2
    given, after = stream.block(np.arange(stream.blocks(4)), 4)
    assert given.shape == after.shape == (4, 4)
    assert after.ravel()[: stream.predicted].tolist() == stream.ids[1:].tolist()
    assert (after.ravel()[stream.predicted :] == -100).all()
    assert (given[:, 1:] == after[:, :-1])[after[:, :-1] >= 0].all()


def test_no_texts_are_no_blocks() -> None:
    assert stream_of(of_bytes(), [], 256).blocks(4) == 0


def test_a_document_is_cut_to_the_context_and_begins_with_an_end() -> None:
    found = documents_of(of_bytes(), TEXTS, 256, 6)
    ids, mask = found.padded(np.arange(2), 256)
    assert mask.sum(1).tolist() == [4, 6]
    assert ids[0].tolist() == [256, *of_bytes().encode("ab").ids, 256, 256, 256]
    assert ids[1, 0] == 256
    assert ids[1, -1] != 256


def test_what_is_empty_is_no_document() -> None:
    assert texts_in(np.array(["a", "", "b"], object)) == ["a", "b"]
