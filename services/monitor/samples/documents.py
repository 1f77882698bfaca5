"""A sample as a document of the store, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.monitor.samples.model import Sample, Shown, Told


def encode(sample: Sample, expires: float) -> dict[str, Any]:
    """The document; `expires` in seconds since 1970."""
    return {
        "_id": sample.id,
        "model": sample.model,
        "version": sample.version,
        "requests": list(sample.request_ids),
        "time": _date(sample.time),
        "seconds": sample.time,
        "expires": _date(expires),
        "client": sample.client,
        "status": sample.status,
        "duration_ms": sample.duration_ms,
        "protocol": sample.protocol,
        "via": sample.via,
        "inputs": [_tensor(item) for item in sample.inputs],
        "outputs": [_tensor(item) for item in sample.outputs],
        "holds": [item.name for item in (*sample.inputs, *sample.outputs) if not item.redacted],
        "prediction": sample.prediction,
        "raw": sample.raw,
        "replayable": bool(sample.raw),
        "bytes": sample.weight(),
        **(told(sample.told) if sample.told else {}),
    }


def told(outcome: Told) -> dict[str, Any]:
    """The fields that an outcome sets."""
    found = {"label": outcome.label, "score": outcome.score, "time": outcome.time, "wrong": outcome.wrong}
    return {"told": found, "wrong": bool(outcome.wrong)}


def decode(document: dict[str, Any]) -> Sample:
    """The sample; fields that are not known are ignored, and tensors may have been left out."""
    outcome = document.get("told")
    return Sample(
        id=document["_id"],
        model=document["model"],
        version=document["version"],
        time=document["seconds"],
        request_ids=tuple(document["requests"]),
        client=document["client"],
        status=document["status"],
        duration_ms=document["duration_ms"],
        protocol=document["protocol"],
        via=document["via"],
        inputs=tuple(_shown(item) for item in document.get("inputs", ())),
        outputs=tuple(_shown(item) for item in document.get("outputs", ())),
        prediction=document["prediction"],
        raw=document.get("raw", b""),
        told=Told(**outcome) if outcome else None,
    )


def _tensor(item: Shown) -> dict[str, Any]:
    if item.redacted:
        return {"name": item.name, "redacted": True}
    made = item._asdict()
    made["shape"], made["values"] = list(item.shape), list(item.values)
    return made


def _shown(item: dict[str, Any]) -> Shown:
    lists = {key: tuple(item.get(key, ())) for key in ("shape", "values")}
    return Shown(**{**item, **lists})


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
