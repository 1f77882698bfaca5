"""What sampled bytes say, by the Open Inference Protocol: messages of gRPC, and bodies of HTTP with their binary part.

`read` never raises anything but `Malformed`, and never makes more than a small multiple of what it was given.
"""

from __future__ import annotations

from services.monitor.oip.labels import Label, label_of
from services.monitor.oip.message import Malformed, Message, Tensor, Tensors
from services.monitor.oip.read import Side, read

__all__ = ["Label", "Malformed", "Message", "Side", "Tensor", "Tensors", "label_of", "read"]
