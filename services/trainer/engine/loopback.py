"""Ray on loopback: by itself it takes the address by which other machines reach this one, also when told otherwise."""

from __future__ import annotations

HOST = "127.0.0.1"


def stay(address: str) -> None:
    """Before Ray is started or connected to at a loopback address: keeps it from replacing that address."""
    if not address.startswith((HOST, "localhost")):
        return
    from ray._private import services  # noqa: PLC0415 - private: Ray has no public way (2.60); a test listens

    services.resolve_ip_for_localhost = lambda host: host
    services.get_node_ip_address = lambda address=None: HOST
