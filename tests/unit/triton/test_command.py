"""What a Triton server is told: its models, its ports, its Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.triton.command import Settings, arguments, environment, orphans, stale_regions, startup_models

SETTINGS = Settings(Path("/repo"), grpc_port=1, http_port=2, metrics_port=3)


def test_a_server_listens_where_it_is_told_and_loads_only_what_is_named() -> None:
    told = arguments(Settings(Path("/repo"), 1, 2, 3, models=["a", "b"]), Path("/backends"), "bmase_triton_7_")
    assert {"--grpc-address=127.0.0.1", "--http-address=127.0.0.1", "--metrics-address=127.0.0.1"} <= set(told)
    assert {"--grpc-port=1", "--http-port=2", "--metrics-port=3", "--model-repository=/repo"} <= set(told)
    assert [flag for flag in told if flag.startswith("--load-model")] == ["--load-model=a", "--load-model=b"]
    assert {"--model-control-mode=explicit", "--exit-on-error=false", "--strict-readiness=false"} <= set(told)
    assert "--backend-config=python,shm-region-prefix-name=bmase_triton_7_" in told


def test_without_http_no_http_address_is_given() -> None:
    told = arguments(Settings(Path("/repo"), 1, 2, 3, http=False), Path("/b"), "p")
    assert "--allow-http=false" in told
    assert not [flag for flag in told if flag.startswith("--http-")]


def test_a_server_that_brings_its_own_backends_keeps_them_and_its_gpu_metrics() -> None:
    told = arguments(SETTINGS, None, "p")
    assert not [flag for flag in told if flag.startswith("--backend-directory")]
    assert "--allow-gpu-metrics=true" in told


@pytest.mark.parametrize("complete", [True, False])
def test_completing_configurations_can_be_left_out(complete: bool) -> None:
    told = arguments(Settings(Path("/repo"), 1, 2, 3, auto_complete=complete), Path("/b"), "p")
    assert ("--disable-auto-complete-config" in told) is not complete


def test_the_backends_python_comes_first_and_nothing_of_ours_leaks_into_it() -> None:
    base = {"PATH": "/usr/bin", "PYTHONPATH": "/ours", "PYTHONHOME": "/ours", "LD_LIBRARY_PATH": "/mine", "HOME": "/h"}
    env = environment(base, Path("/env/bin/python"), Path("/lib3.11"))
    assert env["PATH"] == "/env/bin:/usr/bin"
    assert env["VIRTUAL_ENV"] == "/env"
    assert env["LD_LIBRARY_PATH"] == "/lib3.11:/mine"
    assert env["HOME"] == "/h"
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(env)
    assert environment({}, Path("/env/bin/python"), Path("/l"))["PATH"] == "/env/bin", "no empty entry means no cwd"


@pytest.mark.parametrize(
    ("text", "names", "warnings"),
    [
        (None, [], 0),
        ("[]", [], 0),
        ('["a", "b", "a"]', ["a", "b"], 0),
        ('["a", "gone"]', ["a"], 1),
        ('["*", "../a", "a/1", ""]', [], 4),
        ("{broken", [], 1),
        ('"a"', [], 1),
        ('[["a"]]', [], 1),
    ],
)
def test_which_models_are_there_from_the_start(text: str | None, names: list[str], warnings: int) -> None:
    found, said = startup_models(text, ["a", "b"])
    assert found == names
    assert len(said) == warnings


def test_only_regions_of_dead_servers_of_ours_are_stale() -> None:
    regions = ["bmase_triton_10_x", "bmase_triton_11_y", "triton_python_backend_shm_region_z", "bmase_triton_1_w"]
    assert stale_regions(regions, [10, 99]) == ["bmase_triton_11_y", "bmase_triton_1_w"]


def test_backend_processes_of_dead_servers_are_orphans_and_nobody_else() -> None:
    commands = {
        10: ["tritonserver", "--model-repository=/r"],
        20: ["stub", "/r/m/1/model.py", "bmase_triton_10_x", "1048576"],
        21: ["stub", "/r/m/1/model.py", "bmase_triton_11_y", "1048576"],
        22: ["stub", "/r/m/1/model.py", "triton_python_backend_shm_region_z"],
        23: [],
    }
    assert orphans(commands) == [21]
