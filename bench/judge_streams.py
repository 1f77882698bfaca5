"""Simulated releases: requests, bad requests and who sent them, for the rules that bench/judge.py compares.

A cell says what happens; from it come streams of many releases at once. Requests arrive at random (Poisson) and each
is the candidate's with the share of that moment; with sticky routes each client is, by its place on a circle, and
clients are unlike: a few send most requests, and a few cause most bad ones. `bursts` are clients that send the same
poisonous request some dozen times within two seconds, again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BURST_SECONDS = 2.0
ACTIVE = 0.05  # of clients send bursts


@dataclass(frozen=True)
class Rates:
    """Probability that a request is bad, by bin."""

    stable: Floats
    candidate: Floats


@dataclass(frozen=True)
class Cell:
    """What happens in each release of it; arrays have one entry a bin."""

    name: str
    bin_seconds: float
    traffic: Floats  # requests per second
    share: Floats  # of the candidate
    kinds: Mapping[str, Rates]  # "errors" is what the other rules look at
    clients: int = 1000
    sticky: bool = False
    bursts_per_hour: float = 0.0
    changes_at: float | None = None  # seconds: the candidate turns bad only then
    good: bool = True  # the candidate is no worse at all
    worse: bool = False  # it is, by more than the margin
    events_until: float = np.inf  # seconds; later ones are left out, because everything is decided long before

    @property
    def bins(self) -> int:
        return len(self.traffic)

    @property
    def periods(self) -> Ints:
        """Which weights each bin has, from 0."""
        return np.concatenate(([0], np.cumsum(np.diff(self.share) != 0)))


@dataclass
class Events:
    """Bad requests by release, in order of time; `count` of each row are real."""

    time: Floats
    candidate: Bools
    client: Ints
    count: Ints

    def bin(self, cell: Cell) -> Ints:
        return _bins(cell, self.time)


@dataclass
class Streams:
    """Releases of one cell: counts by release and bin, and events by kind."""

    cell: Cell
    requests: Ints  # of both
    candidate: Ints
    bad: Ints  # errors of the stable version
    candidate_bad: Ints
    events: dict[str, Events] = field(default_factory=dict)

    @property
    def releases(self) -> int:
        return len(self.requests)


def simulate(cell: Cell, releases: int, rng: np.random.Generator) -> Streams:
    """So many releases."""
    expected = cell.traffic * cell.bin_seconds
    if cell.sticky:
        return _sticky(cell, releases, rng, expected)
    requests = rng.poisson(expected, (releases, cell.bins))
    candidate = rng.binomial(requests, cell.share)
    streams = Streams(cell, requests, candidate, np.zeros_like(requests), np.zeros_like(requests))
    for kind, rates in cell.kinds.items():
        bad = rng.binomial(requests - candidate, rates.stable)
        candidate_bad = rng.binomial(candidate, rates.candidate)
        parts = [_spread(cell, bad, False, rng), _spread(cell, candidate_bad, True, rng)]
        if cell.bursts_per_hour and kind == "errors":
            release, time, client = _burst_events(cell, releases, rng)
            parts.append(_asked(streams, (release, time, rng.random(len(time)) < _share_at(cell, time), client)))
        _enter(streams, kind, parts)
    return streams


Part = tuple[Ints, Floats, Bools, Ints]  # release, time, candidate, client; one entry an event


def _spread(cell: Cell, counts: Ints, candidate: bool, rng: np.random.Generator) -> Part:
    """Independent bad requests: any moment of their bin, any client."""
    release = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
    bins = np.repeat(np.tile(np.arange(cell.bins), len(counts)), counts.ravel())
    time = (bins + rng.random(len(bins))) * cell.bin_seconds
    return release, time, np.full(len(bins), candidate), rng.integers(0, cell.clients, len(bins))


def _asked(streams: Streams, burst: Part) -> Part:
    """Requests of bursts come on top of the others."""
    release, time, candidate, _ = burst
    bins = _bins(streams.cell, time)
    np.add.at(streams.requests, (release, bins), 1)
    np.add.at(streams.candidate, (release, bins), candidate.astype(np.int64))
    return burst


def _burst_events(cell: Cell, releases: int, rng: np.random.Generator) -> tuple[Ints, Floats, Ints]:
    span = cell.bins * cell.bin_seconds
    bursts = rng.poisson(cell.bursts_per_hour * span / 3600, releases)
    release = np.repeat(np.arange(releases), bursts)
    begun = rng.random(len(release)) * (span - BURST_SECONDS)
    client = rng.integers(0, max(1, int(ACTIVE * cell.clients)), len(release))
    sizes = rng.integers(10, 80, len(release))
    time = np.repeat(begun, sizes) + rng.random(sizes.sum()) * BURST_SECONDS
    return np.repeat(release, sizes), time, np.repeat(client, sizes)


def _sticky(cell: Cell, releases: int, rng: np.random.Generator, expected: Floats) -> Streams:
    """Clients are assigned; who sends how much and who fails how often is the same in all releases."""
    weight = rng.lognormal(0, 1, cell.clients)
    weight /= weight.sum()
    prone = rng.lognormal(0, 2, cell.clients)
    prone /= (weight * prone).sum()
    place = rng.random((releases, cell.clients))
    candidate_part = np.stack([(place < share) @ weight for share in cell.share[_firsts(cell)]], axis=1)
    candidate = rng.poisson(candidate_part[:, cell.periods] * expected)
    requests = candidate + rng.poisson((1 - candidate_part[:, cell.periods]) * expected)
    streams = Streams(cell, requests, candidate, np.zeros_like(requests), np.zeros_like(requests))
    for kind, rates in cell.kinds.items():
        parts = [_prone(cell, rates, weight * prone, place, rng)]
        if cell.bursts_per_hour and kind == "errors":
            release, time, client = _burst_events(cell, releases, rng)
            parts.append(_asked(streams, (release, time, place[release, client] < _share_at(cell, time), client)))
        _enter(streams, kind, parts)
    return streams


def _firsts(cell: Cell) -> Ints:
    return np.unique(cell.periods, return_index=True)[1]


def _bins(cell: Cell, time: Floats) -> Ints:
    return np.minimum((time / cell.bin_seconds).astype(np.int64), cell.bins - 1)


def _share_at(cell: Cell, time: Floats) -> Floats:
    return cell.share[_bins(cell, time)]


def _prone(cell: Cell, rates: Rates, chance: Floats, place: Floats, rng: np.random.Generator) -> Part:
    """Bad requests by clients that are unlike: drawn at the higher rate, and kept by the rate of their version."""
    top = np.maximum(rates.stable, rates.candidate)
    counts = rng.poisson(top * cell.traffic * cell.bin_seconds, (len(place), cell.bins))
    release, time, _, _ = _spread(cell, counts, False, rng)
    client = rng.choice(cell.clients, len(time), p=chance)
    bins = _bins(cell, time)
    candidate = place[release, client] < cell.share[bins]
    kept = rng.random(len(time)) * top[bins] < np.where(candidate, rates.candidate[bins], rates.stable[bins])
    return release[kept], time[kept], candidate[kept], client[kept]


def _enter(streams: Streams, kind: str, parts: list[Part]) -> None:
    """Puts events in order, one row a release; requests of bursts and errors are counted."""
    cell, releases = streams.cell, streams.releases
    release, time, candidate, client = (np.concatenate(column) for column in zip(*parts, strict=True))
    bins = _bins(cell, time)
    if kind == "errors":
        np.add.at(streams.bad, (release[~candidate], bins[~candidate]), 1)
        np.add.at(streams.candidate_bad, (release[candidate], bins[candidate]), 1)
        np.maximum(streams.candidate, streams.candidate_bad, out=streams.candidate)
        np.maximum(streams.requests, streams.candidate + streams.bad, out=streams.requests)
    early = time < cell.events_until
    order = np.lexsort((time[early], release[early]))
    release, time, candidate, client = (column[early][order] for column in (release, time, candidate, client))
    count = np.bincount(release, minlength=releases)
    column = np.arange(len(release)) - np.repeat(np.cumsum(count) - count, count)
    rows = Events(*(np.zeros((releases, count.max(initial=0)), kind) for kind in (float, bool, np.int64)), count=count)
    rows.time[release, column], rows.candidate[release, column] = time, candidate
    rows.client[release, column] = client
    streams.events[kind] = rows
