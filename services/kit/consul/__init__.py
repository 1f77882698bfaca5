"""Coordination through Consul that survives the loss, the hang and the wipe of the store.

Three promises hold for everything in this package:

* a watch never misses a change, never spins and never raises because Consul is away;
* the absence of a key is evidence only while `Listing.epoch` stays the same (a store re-created empty has a new one);
* what a process owns (registrations, session keys) is written again by itself after any loss.
"""

from __future__ import annotations

from services.kit.consul.client import Consul
from services.kit.consul.model import Changes, Entry, Instance, KvOp, Listing
from services.kit.consul.registration import Registration, grpc_check, http_check, tcp_check
from services.kit.consul.session import Session

__all__ = [
    "Changes",
    "Consul",
    "Entry",
    "Instance",
    "KvOp",
    "Listing",
    "Registration",
    "Session",
    "grpc_check",
    "http_check",
    "tcp_check",
]
