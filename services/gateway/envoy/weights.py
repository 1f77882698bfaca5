"""From the weights that people write to those that Envoy computes with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.gateway.envoy.snapshot import TOTAL_WEIGHT, ModelRoute


def normalise(weights: Sequence[int], total: int = TOTAL_WEIGHT) -> tuple[int, ...]:
    """The same proportions with a constant sum; what had a weight keeps at least 1. All 0 stays all 0.

    Largest remainders: the result is within 1 of the exact share wherever the share is at least 1.
    """
    asked = sum(weights)
    if asked == 0:
        return tuple(0 for _ in weights)
    shares = [max(weight * total // asked, 1 if weight else 0) for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(weights[i] * total % asked), i))
    missing = total - sum(shares)
    for i in order[: max(missing, 0)]:
        shares[i] += 1
    if missing < 0:  # more tiny weights were raised to 1 than remainders could pay for
        shares[shares.index(max(shares))] += missing
    return tuple(shares)


def moved(current: Mapping[str, ModelRoute], written: Mapping[str, ModelRoute], names: Iterable[str]) -> set[str]:
    """Those of the named models whose weights are others than when the route table was written.

    Only where the list of versions is still the written one: the key of a weight holds the list's name, so a weight
    can never reach a list that it was not meant for.
    """
    return {name for name in names if _moved(current.get(name), written.get(name))}


def _moved(route: ModelRoute | None, baked: ModelRoute | None) -> bool:
    if route is None or baked is None or route is baked:
        return False
    return route.weights != baked.weights and route.structure == baked.structure


def overrides(current: Mapping[str, ModelRoute], names: Iterable[str]) -> dict[str, int]:
    """Runtime keys with the present weights of these models."""
    return {key: weight for name in sorted(names) for key, weight in current[name].runtime_weights}
