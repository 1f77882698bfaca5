"""What a job may ask of image-classification."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.trainer.recipes.recipe import Parameters, Recipe


class Images(Parameters):
    """Pictures are arrays (height, width) or (height, width, channels) of any numbers, or flat ones with a `shape`."""

    image: str = Field("image", min_length=1, description="column with the picture; also the name of the input")
    label: str = Field("label", min_length=1, description="column with the class: a number from 0 on, or a text")
    shape: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (), max_length=3, description="height, width and channels of pictures that lie flat in their column"
    )
    epochs: int = Field(20, ge=1, le=10_000)
    batch: int = Field(64, ge=1, le=65_536, description="pictures a step, of all workers together")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="at its highest")
    weight_decay: float = Field(1e-2, ge=0, le=1)
    width: int = Field(
        32, ge=4, le=512, multiple_of=4, description="channels of the first block; each next has twice as many"
    )
    blocks: int = Field(0, ge=0, le=7, description="each halves the picture; 0: until its smaller side is below 8")
    dropout: float = Field(0.3, ge=0, lt=1)
    shift: int = Field(0, ge=0, le=64, description="pixels by which a picture is moved at random")
    flip: bool = Field(False, description="mirrors half of the pictures, left to right")
    patience: int = Field(5, ge=0, le=1000, description="epochs without a better val_loss before it stops; 0: never")
    strategy: Literal["ddp", "fsdp"] = "ddp"


RECIPE = Recipe(
    "image-classification", "Classes of pictures, by a convolutional network", f"{__package__}.train:main", Images
)
