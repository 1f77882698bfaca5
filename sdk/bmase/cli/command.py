"""How a command is declared: a function of a `Cli` and its own options, registered with `command`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from bmase.cli.output import Output

if TYPE_CHECKING:
    from bmase.sync import Client

Function = TypeVar("Function", bound=Callable[..., Any])
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: one document, or a line for each event.")]


class Cli:
    """What every command gets: the output, and the client, which connects at first use."""

    def __init__(self, given: dict[str, object], as_json: bool) -> None:
        self.given = given
        self.out = Output(as_json)

    @functools.cached_property
    def client(self) -> Client:
        """The client with the global options."""
        from bmase.sync import Client  # noqa: PLC0415  grpc takes a tenth of a second

        return Client(**self.given)  # type: ignore[arg-type]

    def close(self) -> None:
        """Closes the connection, if there is one."""
        if "client" in self.__dict__:
            self.client.close()


def command(app: typer.Typer, name: str | None = None, **more: Any) -> Callable[[Function], Function]:
    """Registers a function whose first parameter is a `Cli`; typer sees its other parameters and --json."""

    def register(function: Function) -> Function:
        @functools.wraps(function)
        def run(ctx: typer.Context, as_json: bool, **options: Any) -> Any:
            cli = root_cli(ctx)
            cli.out.as_json = cli.out.as_json or as_json
            return function(cli, **options)

        run.__signature__ = _signature(function)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in run.__signature__.parameters.values()}  # type: ignore[attr-defined]
        app.command(name, **more)(run)
        return function

    return register


def root_cli(ctx: typer.Context) -> Cli:
    """The `Cli` that the global options made."""
    found = ctx.find_root().obj
    assert isinstance(found, Cli)
    return found


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    hints = get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            inspect.Parameter("ctx", keyword, annotation=typer.Context),
            *(p.replace(kind=keyword, annotation=hints[p.name]) for p in own),
            inspect.Parameter("as_json", keyword, annotation=AsJson, default=False),
        ]
    )
