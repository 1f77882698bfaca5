"""Its parameters."""

from __future__ import annotations

from pydantic import Field

from services.trainer.recipes.recipe import Parameters, Recipe


class Texts(Parameters):
    """The defaults suit an encoder of some ten million weights and some thousand texts."""

    encoder: str = Field(min_length=1, description="folder in Hugging Face layout, or a package that carries one")
    text: str = Field(default="text", min_length=1, description="column")
    label: str = Field(default="label", min_length=1, description="column")
    epochs: int = Field(default=2, ge=1, le=1000)
    batch: int = Field(default=32, ge=1, le=4096, description="rows of a step, over all workers")
    learning_rate: float = Field(default=5e-5, gt=0, le=1, description="of the encoder, at its highest")
    head_learning_rate: float = Field(default=1e-3, gt=0, le=1, description="of the layer that is new")
    warm: float = Field(default=0.1, ge=0, lt=1, description="share of all steps in which the rate rises")
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    max_length: int = Field(default=128, ge=4, le=8192, description="tokens; what is longer is cut")
    freeze: int = Field(
        default=0, ge=0, le=1000, description="lowest layers that stay as they are, with the embeddings"
    )
    patience: int = Field(
        default=0, ge=0, le=1000, description="epochs without a better val_loss before it stops; 0: never"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="before the new layer")


RECIPE = Recipe(
    name="text-classification",
    title="Text classification: a transformer encoder, fine-tuned",
    main="services.trainer.recipes.text.train:main",
    parameters=Texts,
)
