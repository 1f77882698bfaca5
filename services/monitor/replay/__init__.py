"""Sampled requests sent to two versions, and what their answers have in common."""

from __future__ import annotations

from services.monitor.replay.run import Asked, Replay
from services.monitor.replay.tally import Tally

__all__ = ["Asked", "Replay", "Tally"]
