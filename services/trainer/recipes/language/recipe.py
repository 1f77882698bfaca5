"""What a job may ask of language-model."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from services.trainer.recipes.recipe import Parameters, Recipe

BYTES = 257  # and the end


class Language(Parameters):
    """With `model`, sizes and tokens are those of its folder; without, of a new transformer and as said here."""

    text: str = Field("text", min_length=1, description="column, one document a row")
    model: str = Field(
        "", description="folder in Hugging Face layout, or a package that carries one; empty: a new model"
    )
    tokenizer: str = Field("", description="such a folder, of a new model; empty: learnt here, or bytes")
    vocabulary: int = Field(0, ge=0, le=1_000_000, description="tokens that are learnt from the texts; 0: bytes")
    layers: int = Field(4, ge=1, le=200)
    width: int = Field(128, ge=8, le=16_384)
    heads: int = Field(4, ge=1, le=256)
    context: int = Field(256, ge=8, le=32_768, description="tokens that are seen at once")
    epochs: int = Field(5, ge=1, le=10_000)
    batch: int = Field(32, ge=1, le=65_536, description="blocks of `context` tokens a step, of all workers together")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="at its highest; around 5e-5 for a pretrained model")
    warm: float = Field(0.05, ge=0, lt=1, description="share of all steps in which the rate rises")
    weight_decay: float = Field(1e-2, ge=0, le=1)
    patience: int = Field(0, ge=0, le=1000, description="epochs without a better val_loss before it stops; 0: never")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} has to be a multiple of twice the {self.heads} heads")
        if 0 < self.vocabulary <= BYTES:
            raise ValueError(f"a vocabulary has more than {BYTES} tokens: one for each byte, one for the end; or is 0")
        if (self.model or self.tokenizer) and self.vocabulary:
            raise ValueError("vocabulary goes with neither model nor tokenizer, which have their own")
        if self.model and self.tokenizer:
            raise ValueError("tokenizer does not go with model, which has its own")
        return self


RECIPE = Recipe(
    name="language-model",
    title="Language model: a causal transformer, new or pretrained",
    main="services.trainer.recipes.language.train:main",
    parameters=Language,
)
