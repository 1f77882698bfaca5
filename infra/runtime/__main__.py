"""`python -m infra.runtime ensure [names...] | path NAME | list`."""

from __future__ import annotations

import argparse
import sys

from infra.runtime import RuntimeSetupError, binary, ensure
from infra.runtime.preflight import check_python


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 done, 1 something could not be had (said on stderr)."""
    options = _parser().parse_args(arguments)
    try:
        check_python()
        options.run(options)
    except RuntimeSetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was finished stays, run it again to go on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.runtime", description="The pinned binaries.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    bring = commands.add_parser("ensure", help="fetch what is missing (default: triton envoy consul nats)")
    bring.add_argument("names", nargs="*", metavar="NAME")
    bring.set_defaults(run=lambda options: ensure(options.names))
    path = commands.add_parser("path", help="print where a program is")
    path.add_argument("name", metavar="NAME")
    path.set_defaults(run=lambda options: print(binary(options.name)))
    listing = commands.add_parser("list", help="show every item, its version and whether it is here")
    listing.set_defaults(run=lambda options: print_list())
    return parser


def print_list() -> None:
    """One line an item: name, version, source, state in this checkout."""
    from infra.runtime import manifest  # noqa: PLC0415 - after the check of Python's version
    from infra.runtime.layout import Layout  # noqa: PLC0415

    layout = Layout.current()
    for item in manifest.load().values():
        programs = [layout.bin / name for name in item.executables] + [layout.lib / name for name in item.libraries]
        state = "here" if all(p.exists() for p in programs) else "fetched when asked for"
        print(f"{item.name:<10} {item.version:<20} {item.kind:<7} {'default' if item.default else '':<8} {state}")


if __name__ == "__main__":
    sys.exit(main())
