"""`python -m services.gateway.envoy.launch`: becomes Envoy, with the files it needs.

What follows from settings is written anew, what follows from routes only when it is not there: Envoy starts with the
last state also when the control process does not run. The process replaces itself, so its supervisor supervises Envoy.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from services.gateway.config import GatewaySettings
from services.gateway.envoy import files
from services.gateway.envoy.capture import TOKEN_VARIABLE
from services.kit.app import readable


def main() -> NoReturn:
    """Replaces this process by Envoy; comes back only to say what is wrong."""
    try:
        settings = GatewaySettings()
        binary = settings.binary
        if binary is None:
            sys.exit("cannot start: no Envoy here. Run `python -m infra.runtime ensure envoy`, or set envoy_binary")
        bootstrap = prepare(settings)
        if settings.token is not None:  # Envoy takes it from here, so that it is in no file of ours
            os.environ[TOKEN_VARIABLE] = settings.token.get_secret_value()
        os.execv(binary, [str(binary), *arguments(settings, bootstrap)])  # noqa: S606 - no shell is what is wanted
    except (ValidationError, ValueError, OSError) as error:
        sys.exit(f"cannot start: {readable(error)}")


def prepare(settings: GatewaySettings) -> Path:
    """Writes what is missing; the bootstrap file."""
    configuration = settings.configuration()
    for path, data in configuration.static().items():
        files.write(path, data)
    for made in configuration.first():
        if not made.path.exists():
            files.write(made.path, made.data)
    return configuration.files.bootstrap


def arguments(settings: GatewaySettings, bootstrap: Path) -> list[str]:
    """Envoy's command line. Hot restart is off: with it, two gateways on a machine meet in shared memory."""
    workers = settings.workers
    return [
        *("-c", str(bootstrap)),
        *("--concurrency", str(workers)),
        "--disable-hot-restart",
        *("--drain-time-s", str(max(1, round(settings.drain_seconds)))),
        # The control process makes the files, from checked messages; looking for unknown fields takes a fifth of the
        # time in which 10,000 models are read.
        "--ignore-unknown-dynamic-fields",
        *("--log-level", {"debug": "debug", "info": "warning"}.get(settings.log_level, settings.log_level)),
    ]


if __name__ == "__main__":
    main()
