from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from bmase.reasons import Reason
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from services.kit.errors import DomainError
from services.patcher.agent.repository import Preload, Repository, config_text
from services.patcher.agent.store import Store
from services.patcher.agent.triton import pending_of, shortened
from services.patcher.documents import Desired, DesiredFile, FileRole


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def keep(store: Store, content: bytes, used: float = 0.0) -> str:
    digest = digest_of(content)
    store.partial(digest).write_bytes(content)
    store.commit(digest)
    os.utime(store.path(digest), (used, used))
    return digest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", budget=100)


def test_makes_room_from_the_longest_unused(store: Store) -> None:
    old, young, live = (keep(store, bytes([n]) * 30, used) for n, used in ((1, 5.0), (2, 9.0), (3, 1.0)))
    store.make_room(40, {live})
    assert [store.has(digest, 30) for digest in (old, young, live)] == [False, True, True]


def test_never_gives_up_what_is_wanted(store: Store) -> None:
    live = keep(store, b"x" * 80)
    with pytest.raises(DomainError, match="disk budget of 100") as refused:
        store.make_room(30, {live})
    assert refused.value.reason is Reason.STORAGE_FULL
    assert store.has(live, 80)


def test_drops_transfers_that_nobody_wants(store: Store) -> None:
    wanted, other = digest_of(b"1"), digest_of(b"2")
    for digest in (wanted, other):
        store.partial(digest).write_bytes(b"part")
    store.make_room(1, {wanted})
    assert store.partial(wanted).exists()
    assert not store.partial(other).exists()


def test_damage_is_seen_and_removed(store: Store) -> None:
    digest = keep(store, b"content")
    assert store.verify(digest)
    store.path(digest).chmod(0o644)
    store.path(digest).write_bytes(b"altered")
    assert not store.verify(digest)
    assert not store.path(digest).exists()
    assert not store.verify(digest)


def test_a_digest_is_never_a_path(store: Store) -> None:
    with pytest.raises(DomainError):
        store.path("sha256:../../../etc/passwd")


def _version(store: Store, files: dict[str, tuple[bytes, FileRole]], number: int = 3) -> Desired:
    listed = tuple(
        DesiredFile(path=path, digest=keep(store, content), size_bytes=len(content), role=role)
        for path, (content, role) in files.items()
    )
    return Desired(model="digits", version=number, digest=digest_of(repr(files).encode()), files=listed)


CONFIG = b'name: "other"\nbackend: "onnxruntime"\nversion_policy { latest { num_versions: 2 } }\n'


def test_lays_out_one_version_and_finds_it_again(store: Store, tmp_path: Path) -> None:
    files = {
        "model.onnx": (b"net", FileRole.MODEL),
        "data/weights.bin": (b"weights", FileRole.MODEL),
        "config.pbtxt": (CONFIG, FileRole.CONFIG),
        "labels.txt": (b"zero", FileRole.CONFIG),
        "a.sample": (b"sample", FileRole.SAMPLE),
    }
    desired = _version(store, files)
    repository = Repository(tmp_path / "repository", tmp_path, store)
    assert repository.lay_out(desired)
    folder = tmp_path / "repository" / "digits"
    laid = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert laid == {"3/model.onnx", "3/data/weights.bin", "config.pbtxt", "labels.txt"}
    assert (folder / "3" / "model.onnx").samefile(store.path(desired.files[0].digest))
    assert repository.samples(desired) == [b"sample"]
    assert not repository.lay_out(desired), "it lies there already"
    again = Repository(tmp_path / "repository", tmp_path, store)
    assert set(again.occupants) == {"digits"}
    (folder / "3" / "model.onnx").unlink()
    assert again.lay_out(desired), "a missing file is put back"
    assert again.lay_out(_version(store, files, number=4))
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["4"]


def test_sets_name_and_version_and_nothing_else(store: Store) -> None:
    config = model_config_pb2.ModelConfig()
    text_format.Parse(config_text(_version(store, {"config.pbtxt": (CONFIG, FileRole.CONFIG)}), store), config)
    assert (config.name, config.backend) == ("digits", "onnxruntime")
    assert list(config.version_policy.specific.versions) == [3]


def test_a_configuration_that_cannot_be_read_is_refused(store: Store) -> None:
    with pytest.raises(DomainError, match="cannot be read: ") as refused:
        config_text(_version(store, {"config.pbtxt": (b"nonsense {", FileRole.CONFIG)}), store)
    assert refused.value.reason is Reason.LOAD_FAILED


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\\b", "x\0y"])
def test_files_stay_in_their_folder(store: Store, tmp_path: Path, path: str) -> None:
    desired = _version(store, {path: (b"evil", FileRole.MODEL)})
    repository = Repository(tmp_path / "repository", tmp_path, store)
    with pytest.raises(DomainError, match="leaves the version's folder"):
        repository.lay_out(desired)
    assert not list(repository.root.rglob("*digits*")), "what was begun is cleared away"
    assert repository.occupants == {}


def test_a_repository_on_another_disk_than_the_agents_own_folder(store: Store, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:  # a file system of its own on Linux
        repository = Repository(Path(elsewhere) / "repository", tmp_path, store)
        assert repository.lay_out(_version(store, {"model.onnx": (b"net", FileRole.MODEL)}))
        assert (repository.root / "digits" / "3" / "model.onnx").read_bytes() == b"net"
        assert set(Repository(repository.root, tmp_path, store).occupants) == {"digits"}
        repository.remove("digits")
        assert not (repository.root / "digits").exists()


def test_a_folder_that_nobody_noted_is_left_alone(store: Store, tmp_path: Path) -> None:
    own = tmp_path / "repository" / "somebodys" / "1"
    own.mkdir(parents=True)
    assert Repository(tmp_path / "repository", tmp_path, store).occupants == {}
    assert own.is_dir()


def test_the_models_file_is_written_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    names = Preload(path)
    names.write([])
    assert path.read_text() == "[]"
    names.write(["b", "a"])
    assert Preload(path).names == ["a", "b"]
    path.write_text("broken")
    assert Preload(path).names == []


def test_errors_lose_the_paths_of_this_machine() -> None:
    repository = Path("/srv/data/nodes/blue/repository")
    text = (
        f"failed to load 'm':\n  Load model from {repository}/m/1/model.onnx failed; see /opt/triton/lib/x.so and a/b"
    )
    assert shortened(text, repository) == "failed to load 'm': Load model from m/1/model.onnx failed; see x.so and a/b"
    assert len(shortened("y" * 1000, repository)) == 400


def test_pending_requests_are_read_from_the_metrics() -> None:
    text = (
        "# HELP nv_inference_pending_request_count x\n"
        'nv_inference_pending_request_count{model="digits",version="1"} 3\n'
        'nv_inference_pending_request_count{model="digits2",version="1"} 5\n'
        'nv_inference_request_success{model="digits",version="1"} 9\n'
    )
    assert pending_of(text, "digits") == 3
    assert pending_of(text, "other") == 0
