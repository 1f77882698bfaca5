"""Reads the counters of all gateways at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from types import TracebackType
from urllib.parse import quote

import aiohttp
import structlog
from yarl import URL

from services.monitor.counters import Page, parse, stats_filter

log = structlog.get_logger(__name__)

# A page of one model has some twenty series a version; this is room for hundreds of models.
MOST_BYTES = 32 * 1024 * 1024
# So many names fit in one address; more are asked for in turn.
MODELS_AT_ONCE = 200


class Silent(Exception):  # noqa: N818 - what the gateway is
    """The gateway did not answer in time, or not with its counters."""


class Scraper:
    """One HTTP connection a gateway, kept open."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Scraper:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit_per_host=4))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def pages(
        self, addresses: Mapping[str, str], models: Collection[str]
    ) -> dict[str, tuple[float, Page] | Silent]:
        """By gateway: when it was read, and what it said; or that it is silent. Never takes longer than the timeout."""
        read = await asyncio.gather(*(self._timed(address, models) for address in addresses.values()))
        return dict(zip(addresses, read, strict=True))

    async def _timed(self, address: str, models: Collection[str]) -> tuple[float, Page] | Silent:
        try:
            async with asyncio.timeout(self._timeout):
                page = await self.page(address, models)
            return time.time(), page
        except TimeoutError:
            return Silent(f"no answer within {self._timeout:g} s")
        except (aiohttp.ClientError, OSError, ValueError, LookupError) as error:
            return Silent(str(error) or type(error).__name__)

    async def page(self, address: str, models: Collection[str]) -> Page:
        """What one gateway says of these models now; raises aiohttp's errors, OSError, ValueError."""
        names = sorted(models)
        parts = [names[i : i + MODELS_AT_ONCE] for i in range(0, len(names), MODELS_AT_ONCE)] or [[]]
        pages = [parse(await self._text(address, part)) for part in parts]
        whole = pages[0]
        if len(pages) == 1:
            return whole
        requests = {series: value for page in pages for series, value in page.requests.items()}
        buckets = {arm: value for page in pages for arm, value in page.buckets.items()}
        return Page(requests, buckets, whole.uptime)

    async def _text(self, address: str, models: Collection[str]) -> str:
        assert self._session is not None, "the scraper is not open"
        query = f"usedonly&filter={quote(stats_filter(models), safe='')}"
        url = URL(f"http://{address}/stats/prometheus?{query}", encoded=True)
        async with self._session.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"HTTP {answer.status}")
            data = bytearray()
            async for chunk in answer.content.iter_any():
                data += chunk
                if len(data) > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES:,} bytes")
        return data.decode()
