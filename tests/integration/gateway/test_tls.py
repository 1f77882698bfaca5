"""One certificate for the whole gateway: clients to Envoy, and Envoy to the services behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import requests
import tritonclient.grpc as triton_grpc
from bmase.gateway.v1 import route_pb2 as pb
from bmase.gateway.v1 import route_pb2_grpc

from tests.support.certificates import Certificates
from tests.support.gateway import Platform, eventually

TOKEN = "a-token-of-sixteen-characters"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Platform]:
    """A gateway with TLS and a token, before no nodes."""
    folder: Path = tmp_path_factory.mktemp("tls")
    files = {"tls__cert": certificates.ours["cert"], "tls__key": certificates.ours["key"], "tls__ca": certificates.ca}
    made = Platform(folder, nodes=(), token=TOKEN, **files)
    made.gateway.start()
    yield made
    made.close()


def credentials(ca: Path) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(ca.read_bytes())


def test_clients_speak_tls_over_either_protocol(platform: Platform, certificates: Certificates) -> None:
    with triton_grpc.InferenceServerClient(
        platform.gateway.address, ssl=True, root_certificates=str(certificates.ca)
    ) as client:
        assert client.get_server_metadata().name == "bmase"
    answer = requests.get(f"https://{platform.gateway.address}/v2", verify=str(certificates.ca), timeout=10)
    assert answer.json()["name"] == "bmase"


def test_nothing_is_said_without_tls(platform: Platform) -> None:
    with pytest.raises(requests.RequestException):
        requests.get(f"http://{platform.gateway.address}/v2", timeout=10)


def test_the_api_behind_it_is_reached_by_tls_and_asks_for_the_token(
    platform: Platform, certificates: Certificates
) -> None:
    with grpc.secure_channel(platform.gateway.address, credentials(certificates.ca)) as channel:
        stub = route_pb2_grpc.RouteServiceStub(channel)
        mine = [("authorization", f"Bearer {TOKEN}")]

        def listed() -> bool:
            return stub.ListRoutes(pb.ListRoutesRequest(), metadata=mine, timeout=5) == pb.ListRoutesResponse()

        eventually(listed, "the API answers", timeout=15)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ListRoutes(pb.ListRoutesRequest(), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
