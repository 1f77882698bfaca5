"""A monitor that wants to know who shows it something, and over TLS."""

from __future__ import annotations

from pathlib import Path

import tritonclient.grpc as triton_grpc

from tests.support.certificates import Certificates
from tests.support.gateway import Platform, ask, eventually, fail
from tests.support.intake import Intake

TOKEN = "a-token-for-tests-only"


def test_the_gateway_shows_the_token_and_keeps_it_out_of_files(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    secure = {"tls__cert": made.ours["cert"], "tls__key": made.ours["key"], "tls__ca": made.ca, "token": TOKEN}
    platform = Platform(tmp_path, nodes=["blue"], capture_percent=100, **secure)
    intake = Intake(tmp_path, platform.consul, settings=secure)
    try:
        platform.start()
        platform.place("lin", {1: ["blue"]})
        platform.put("bmase/routes/lin", {"versions": [{"version": 1, "weight": 1}]})
        intake.start()
        platform.show("lin", judged=True)
        eventually(lambda: platform.gateway.stat("cluster.monitor-pairs.membership_healthy") == 1, "it is found")
        with triton_grpc.InferenceServerClient(
            platform.gateway.address, ssl=True, root_certificates=str(made.ca)
        ) as client:
            # What is asked before the route shows its pairs is not shown.
            eventually(lambda: ask(client, "lin", 4.0) and intake.pairs(), "a pair")
            fail(client, "lin")
            eventually(intake.events, "an event")
        written = [file for file in platform.gateway.folder.rglob("*") if file.is_file()]
        assert written
        assert not [file for file in written if TOKEN.encode() in file.read_bytes()]
    finally:
        intake.close()
        platform.close()
