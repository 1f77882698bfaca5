"""Certificates for 127.0.0.1, made anew for every run."""

from __future__ import annotations

from pathlib import Path

import trustme


class Certificates:
    """An authority with a certificate of ours, and one that a stranger's authority signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))
        self.ours = self._issued(self._ca, "ours")
        self.strangers = self._issued(trustme.CA(), "stranger")

    def _issued(self, ca: trustme.CA, name: str) -> dict[str, Path]:
        issued = ca.issue_cert("127.0.0.1", "localhost")
        paths = {"cert": self._folder / f"{name}.pem", "key": self._folder / f"{name}.key"}
        issued.cert_chain_pems[0].write_to_path(str(paths["cert"]))
        issued.private_key_pem.write_to_path(str(paths["key"]))
        return paths
