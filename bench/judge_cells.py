"""What the simulated releases of bench/judge.py go through."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.judge_streams import Cell, Floats, Rates

HOUR = 3600
PER_SECOND = 100.0
ERRORS, SLOW, WRONG = 0.005, 0.003, 0.005
STEPS = (0.01, 0.05, 0.25, 0.5)
OUTAGES = ((400, 460, 0.6), (1500, 1800, 0.3), (2600, 2610, 1.0))  # from, to, part of requests that fail
DAY_BIN = 10.0


def cells() -> list[Cell]:
    """Without a regression first."""
    return [*_good(), *_bad()]


def _cell(name: str, share: float | Floats = 0.1, bins: int = HOUR, **more: object) -> Cell:
    given: dict[str, object] = {
        "bin_seconds": 1.0,
        "traffic": np.full(bins, PER_SECOND),
        "share": np.broadcast_to(np.asarray(share, float), (bins,)),
        "kinds": _alike(np.full(bins, ERRORS)),
    }
    return Cell(name, **(given | more))  # type: ignore[arg-type]


def _alike(errors: Floats) -> Mapping[str, Rates]:
    """Both versions fail, are slow and are wrong equally often."""
    flat = {"slow": np.full(len(errors), SLOW), "outcomes": np.full(len(errors), WRONG)}
    return {kind: Rates(rate, rate) for kind, rate in ({"errors": errors} | flat).items()}


def _ramp() -> Floats:
    return np.repeat(STEPS, HOUR // len(STEPS))


def outages(base: float = ERRORS) -> Floats:
    """Three of them in an hour: short and heavy, long and light, total."""
    rate = np.full(HOUR, base)
    for begin, end, part in OUTAGES:
        rate[begin:end] = np.maximum(part, base)
    return rate


def _good() -> list[Cell]:
    return [
        _cell("good, 1 %", 0.01),
        _cell("good, 10 %"),
        _cell("good, 50 %", 0.5),
        _cell("good, weights rise", _ramp()),
        _cell("good, outages of both", kinds=_alike(outages())),
        _cell("good, outages while weights rise", _ramp(), kinds=_alike(outages())),
        _wave(),
        _cell("good, bursts of clients", clients=300, bursts_per_hour=60.0),
        _cell("good, bursts, sticky", clients=300, bursts_per_hour=60.0, sticky=True),
        _cell("good, bursts, sticky, weights rise", _ramp(), clients=300, bursts_per_hour=60.0, sticky=True),
        _cell("good, little traffic", traffic=np.full(HOUR, 0.5)),
        _cell("good, stable as bad", kinds=_alike(np.full(HOUR, 0.05))),
    ]


def _wave() -> Cell:
    """A day; errors do not rise together with traffic but six hours later."""
    bins = int(24 * HOUR / DAY_BIN)
    turn = np.linspace(0, 2 * np.pi, bins, endpoint=False)
    errors = ERRORS * (1 + 0.9 * np.cos(turn))
    share = np.repeat((0.05, 0.25), bins // 2)
    return _cell(
        "good, a day's wave",
        share,
        bins,
        bin_seconds=DAY_BIN,
        traffic=5 * (1 + 0.9 * np.sin(turn)),
        kinds=_alike(errors),
    )


def _bad_cell(name: str, errors: float | Floats, stable: Floats | None = None, **more: object) -> Cell:
    """The candidate fails with this probability; where both fail, at least as often as the stable version."""
    base = np.full(HOUR, ERRORS) if stable is None else stable
    kinds = {"errors": Rates(base, np.maximum(base, errors))}
    return _cell(name, **({"kinds": kinds, "good": False, "worse": True} | more))  # type: ignore[arg-type]


def _bad() -> list[Cell]:
    late = np.where(np.arange(HOUR) < HOUR / 2, ERRORS, 0.1)
    return [
        _bad_cell("0.5 -> 2 %", 0.02, worse=False),
        _bad_cell("0.5 -> 5 %", 0.05, events_until=1800.0),
        _bad_cell("0.5 -> 10 %", 0.1, events_until=600.0),
        _bad_cell("0.5 -> 100 %", 1.0, events_until=60.0),
        _bad_cell("bad (10 %), sticky", 0.1, clients=300, sticky=True, events_until=1800.0),
        _bad_cell("bad (10 %), bursts", 0.1, clients=300, bursts_per_hour=60.0, events_until=600.0),
        _bad_cell("bad (5 %), outages of both", 0.05, outages()),
        _bad_cell("bad (10 %), weights rise", 0.1, share=_ramp(), events_until=1800.0),
        _bad_cell("bad (10 %), little traffic", 0.1, traffic=np.full(HOUR, 2.0)),
        _bad_cell("bad (10 %) after half an hour", late, changes_at=HOUR / 2),
    ]
