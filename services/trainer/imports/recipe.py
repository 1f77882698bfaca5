"""The recipe "import" and its parameters. Light: nothing of the formats is imported here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.trainer.imports.formats import Format
from services.trainer.recipes.recipe import Parameters, Place, Recipe

EXAMPLES = "examples"  # the second source, which a job may leave out
PROBES = (
    "zeros",
    "negative",
    "tiny",
    "large",
    "not a number",
    "lowest",
    "highest",
    "short rows",
    "long rows",
    "no rows",
)


class Input(BaseModel):
    """One input of a model that does not tell them. The first dimension is the batch; -1 is a size that varies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool", "str"] = "float32"
    shape: tuple[Annotated[int, Field(ge=-1)], ...] = (-1, 1)
    low: float | None = None
    high: float | None = None

    @field_validator("shape")
    @classmethod
    def _sized(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if 0 in shape:
            raise ValueError("a size is a number from 1 on, or -1 where it varies")
        return shape


class ImportParameters(Parameters):
    """What an import is told beside its files.

    format       one of `Format`; empty: by names and first bytes of the files
    module       FILE:FUNCTION beside a state dict, which returns its module; called with `arguments`
    inputs       name -> dtype, shape, and bounds of what is drawn; for state dicts, TorchScript, and tables of named
    columns
    task         of a Hugging Face directory, where its architecture does not tell: for example "feature-extraction"
    rtol, atol   tolerances instead of the format's
    batches      sizes that are compared, beside the edges
    unjudged     probes that are measured and do not decide
    memory_gib   of the process that opens the model, when it is to be less than the job's
    """

    format: Literal["", *map(str, Format)] = ""  # type: ignore[valid-type]
    module: str = Field("", pattern=r"^([A-Za-z_]\w*(:[A-Za-z_]\w*)?)?$")
    arguments: dict[str, Any] = Field({})
    inputs: dict[str, Input] = Field({})
    task: str = Field("", pattern=r"^[a-z-]{0,40}$")
    rtol: float | None = Field(None, ge=0, le=1)
    atol: float | None = Field(None, ge=0)
    batches: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field((1, 7, 64), min_length=1, max_length=8)
    unjudged: tuple[Literal[PROBES], ...] = ()  # type: ignore[valid-type]
    memory_gib: float | None = Field(None, gt=0, le=1024)
    seconds: int = Field(600, ge=1, le=86_400)


RECIPE = Recipe(
    name="import",
    title="A foreign model, converted to ONNX and compared with the original",
    main="services.trainer.imports.main:main",
    parameters=ImportParameters,
    place=Place.ALONE,
    files=("data",),
    most_workers=1,
)
