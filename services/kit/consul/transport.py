"""py-consul's asyncio client with bounded waits, and its failures as one domain error."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from bmase.reasons import Reason
from consul import aio, base
from consul.exceptions import ACLDisabled, ACLPermissionDenied, ConsulException

from services.kit.errors import DomainError

CONNECT_SECONDS = 2.0
CALL_SECONDS = 5.0


class _Http(aio.HTTPClient):
    """A connection pool without the usual limit of 100 (every watch holds one) and with a connect timeout."""

    def __init__(self, host: str, port: int, scheme: str, verify: bool | str, cert: tuple[str, str] | None) -> None:
        base.HTTPClient.__init__(self, host, port, scheme, verify, cert)
        connector = aiohttp.TCPConnector(limit=0, ssl=_tls(verify, cert) if scheme == "https" else True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)


def _tls(verify: bool | str, cert: tuple[str, str] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if cert:
        context.load_cert_chain(*cert)
    return context


class _PyConsul(aio.Consul):
    def http_connect(self, host: str, port: int, scheme: str, verify: bool | str = True, cert: Any = None) -> _Http:
        return _Http(host, port, scheme, verify, cert)


class Transport:
    """Runs calls of py-consul under a deadline. Must be created inside a running event loop."""

    def __init__(self, url: str, token: str, ca: Path | None, cert: tuple[Path, Path] | None) -> None:
        self.url = url
        parts = _parse(url)
        self.api = _PyConsul(
            host=parts[1],
            port=parts[2],
            scheme=parts[0],
            token=token or None,
            verify=str(ca) if ca else True,
            cert=tuple(map(str, cert)) if cert else None,
        )
        # py-consul prefers CONSUL_HTTP_TOKEN of the environment to the token it is given.
        self.api.token = token or self.api.token

    async def call(self, request: Awaitable[Any], timeout: float = CALL_SECONDS) -> Any:
        """The answer, or COORDINATION_UNAVAILABLE with the cause: nothing else leaves this method."""
        with self._translated(timeout):
            async with asyncio.timeout(timeout):
                return await request

    @contextmanager
    def _translated(self, timeout: float) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise self._unavailable(f"no answer within {timeout:g} s") from error
        except (ACLDisabled, ACLPermissionDenied) as error:
            hint = "Give the service a token whose policy covers the prefix bmase/ (CONSUL_HTTP_TOKEN)."
            raise self._unavailable(f"the token was refused: {error}", hint) from error
        except (aiohttp.ClientError, ConsulException, OSError, ValueError) as error:
            raise self._unavailable(str(error) or type(error).__name__) from error

    def _unavailable(self, cause: str, hint: str = "") -> DomainError:
        return DomainError(
            Reason.COORDINATION_UNAVAILABLE,
            f"Consul at {self.url} cannot be used: {cause.strip()[:300]}",
            hint=hint or "Check that the Consul agent runs there and has a leader.",
        )

    async def close(self) -> None:
        await self.api.close()


def _parse(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 8500)
    except ValueError as error:
        raise _bad_url(url) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.username:
        raise _bad_url(url)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, host, port


def _bad_url(url: str) -> DomainError:
    shown = url if "@" not in url else "(it carries credentials)"
    return DomainError(
        Reason.INVALID_FIELD, f"consul_url must look like http://127.0.0.1:8500, not {shown}", field="consul_url"
    )
