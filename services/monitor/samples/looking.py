"""From sampled bytes to samples: decoded in a thread, redacted there, and handed on in the event loop.

Nothing of a model that opted out is looked at, and values of redacted tensors go no further than the decoded message:
not to the store's queue, not to the sketches, not into a label.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from services.monitor.captures import CaptureSettings
from services.monitor.intake.pairs import Pair
from services.monitor.oip import Malformed, Message, Side, Tensors, label_of, read
from services.monitor.samples.model import MAX_PREDICTION, REPLAY_CLIENT, Sample, new_id, shown

log = structlog.get_logger(__name__)

BATCH = 32
MAX_REQUEST_ID = 256
MAX_CLIENT = 256


@dataclass(frozen=True, slots=True)
class Looked:
    """What one pair shows. `inputs` and `outputs` are without what is redacted; `sample` is what may be kept."""

    sample: Sample
    inputs: Tensors = field(default_factory=dict)
    outputs: Tensors = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    @property
    def answered(self) -> bool:
        """Whether there are outputs to speak of."""
        return succeeded(self.sample.status)


def look(pair: Pair, settings: CaptureSettings) -> Looked:
    """Decodes and redacts one pair; raises only Malformed. Pure."""
    asked = read(pair.protocol, Side.REQUEST, pair.request, pair.request_header_length)
    answered = read(
        pair.protocol, Side.RESPONSE, pair.response if succeeded(pair.status) else b"", pair.response_header_length
    )
    inputs, outputs = (_visible(message.tensors, settings.hidden) for message in (asked, answered))
    label = label_of(outputs, settings.label_output)
    sample = Sample(
        id=new_id(pair.time),
        model=pair.model,
        version=pair.version,
        time=pair.time,
        request_ids=_request_ids(asked, pair),
        client=_plain(pair.client)[:MAX_CLIENT],
        status=pair.status,
        duration_ms=pair.duration_ms,
        protocol=pair.protocol,
        via=pair.via,
        inputs=shown(asked.tensors, settings.hidden),
        outputs=shown(answered.tensors, settings.hidden),
        prediction=label.text if label and len(label.text) <= MAX_PREDICTION else "",
        raw=pair.request if _replayable(pair, asked, inputs) else b"",
    )
    return Looked(sample, inputs, outputs, settings.hidden)


def succeeded(status: str) -> bool:
    """Whether an answer with this gRPC status or HTTP code holds outputs."""
    return status == "OK" or (status.isdecimal() and 200 <= int(status) < 300)


def _visible(tensors: Tensors, hidden: frozenset[str]) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if name not in hidden}


def _request_ids(asked: Message, pair: Pair) -> tuple[str, ...]:
    """The client's own name first; both name the request."""
    names = dict.fromkeys((asked.id, _plain(pair.request_id)))
    return tuple(name for name in names if 0 < len(name) <= MAX_REQUEST_ID)


def _plain(text: str) -> str:
    """Headers may hold bytes that are no text."""
    return text.encode("utf-8", errors="replace").decode()


def _replayable(pair: Pair, asked: Message, inputs: Tensors) -> bool:
    """Whole (nothing of it is redacted), answered, and without a part in something larger."""
    return len(inputs) == len(asked.tensors) > 0 and not asked.sequence and succeeded(pair.status)


class Looking:
    """A bounded queue of pairs, and one thread that looks at them. What comes faster is dropped and counted."""

    def __init__(
        self,
        settings_of: Callable[[str], CaptureSettings],
        on_sample: Callable[[Sample], None],
        on_tensors: Callable[[Looked], None],
        *,
        max_pairs: int = 2048,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._settings_of, self._on_sample, self._on_tensors = settings_of, on_sample, on_tensors
        self._max_pairs, self._max_bytes = max_pairs, max_bytes
        self._queue: deque[Pair] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="samples")
        self.sampled: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    @property
    def queued(self) -> int:
        """Pairs that wait."""
        return len(self._queue)

    def pair(self, pair: Pair) -> None:
        """Takes a pair over, in the event loop; never waits."""
        if self._settings_of(pair.model).opt_out or pair.client == REPLAY_CLIENT:
            return
        self.sampled[pair.model] += 1
        if len(self._queue) >= self._max_pairs or self._bytes + pair.size > self._max_bytes:
            self.dropped[pair.model] += 1
            return
        self._queue.append(pair)
        self._bytes += pair.size
        self._idle.clear()
        self._wake.set()

    def lost(self, model: str) -> None:
        """Counts a request that was sampled and did not become a pair."""
        if not self._settings_of(model).opt_out:
            self.sampled[model] += 1
            self.dropped[model] += 1

    async def looked(self) -> None:
        """Returns when all that was taken has been looked at."""
        await self._idle.wait()

    async def run(self) -> None:
        """Looks for ever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                while not self._queue:
                    self._idle.set()
                    self._wake.clear()
                    await self._wake.wait()
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                samples, refused = await loop.run_in_executor(self._pool, self._look, batch)
                self._bytes -= sum(pair.size for pair in batch)
                self.refused.update(refused)
                for sample in samples:
                    self._on_sample(sample)
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _look(self, batch: list[Pair]) -> tuple[list[Sample], Mapping[str, int]]:
        """In the thread. Bytes that cannot be read, and defects, cost their pair and nothing else."""
        samples: list[Sample] = []
        refused: Counter[str] = Counter()
        for pair in batch:
            settings = self._settings_of(pair.model)
            if settings.opt_out:
                continue
            try:
                looked = look(pair, settings)
                samples.append(looked.sample)
                self._on_tensors(looked)
            except Malformed as error:
                refused[pair.model] += 1
                log.debug("samples.refused", model=pair.model, protocol=pair.protocol, error=str(error))
            except Exception:
                refused[pair.model] += 1
                log.exception("samples.not_looked_at", model=pair.model, version=pair.version)
        return samples, refused
