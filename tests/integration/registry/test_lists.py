"""Lists, filters, pages and the watch, on every kind of storage."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from bmase.registry.v1 import registry_pb2 as pb

from tests.support.onnx_models import affine
from tests.support.registry import Registry, put, refusal

Kind = pb.WatchModelsResponse.Kind


def make_family(stub: Any, name: str) -> str:
    """Seven models with versions; returns the common beginning of their names."""
    digests = [put(stub, affine(float(a)).SerializeToString()) for a in range(3)]
    for index in range(7):
        labels = {"even": str(index % 2 == 0)}
        model = pb.Model(name=f"models/{name}.{index}", description=f"it's 100% no. {index}", labels=labels)
        stub.CreateModel(pb.CreateModelRequest(model=model))
        for number, digest in enumerate(digests[: index % 3 + 1]):
            version = pb.Version(
                files=[pb.File(path="model.onnx", digest=digest)],
                labels={"nth": str(number)},
                metrics={"accuracy": index / 10 + number / 100},
                lineage=pb.Lineage(source="train", job=f"job-{index}"),
            )
            stub.CreateVersion(pb.CreateVersionRequest(parent=model.name, version=version))
    stub.SetAlias(pb.SetAliasRequest(model=f"models/{name}.4", alias="stable", version=1))
    return name


@pytest.fixture(scope="module")
def shared_family(registry: Registry) -> str:
    """For tests that only look."""
    return make_family(registry.stub, "family")


@pytest.fixture
def family(stub: Any, name: str) -> str:
    """For tests that change it."""
    return make_family(stub, name)


def model_pages(stub: Any, **asked: Any) -> Iterator[list[str]]:
    token = ""
    while True:
        page = stub.ListModels(pb.ListModelsRequest(page_token=token, **asked))
        yield [model.name.rpartition(".")[2] for model in page.models]
        token = page.next_page_token
        if not token:
            return


def models(stub: Any, **asked: Any) -> list[str]:
    return [name for page in model_pages(stub, **asked) for name in page]


def versions(stub: Any, **asked: Any) -> list[str]:
    token, found = "", []
    while True:
        page = stub.ListVersions(pb.ListVersionsRequest(page_token=token, **asked))
        found += [version.name.partition(".")[2].replace("/versions", "") for version in page.versions]
        token = page.next_page_token
        if not token:
            return found


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ("", "0123456"),
        ("name", "0123456"),
        ("create_time", "0123456"),
        ("create_time desc", "6543210"),
        ("update_time", "0123564"),
        ("update_time desc", "4653210"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_orders_and_pages(stub: Any, shared_family: str, order: str, wanted: str, size: int) -> None:
    pages = list(model_pages(stub, filter=f'name:"{shared_family}.*"', order_by=order, page_size=size))
    assert "".join(itertools.chain(*pages)) == wanted
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert 0 < len(pages[-1]) <= size


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("labels.even=True", "0246"),
        ("labels.even!=True", "135"),
        ("labels.even:*", "0123456"),
        ("labels.odd:*", ""),
        ('description:"100% no. 3"', "3"),
        ('description:"it\'s"', "0123456"),
        ('description:"_"', ""),
        ("alias:stable", "4"),
        ("alias:sta*", "4"),
        ('create_time>"2020-01-01" AND labels.even=True AND alias=stable', "4"),
        ('create_time>"2100-01-01T00:00:00+02:00"', ""),
    ],
)
def test_filters_of_models(stub: Any, shared_family: str, text: str, wanted: str) -> None:
    assert "".join(models(stub, filter=f'name:"{shared_family}.*" AND {text}')) == wanted


@pytest.mark.parametrize(
    ("text", "order", "wanted"),
    [
        ("metrics.accuracy>=0.5", "", "5/3 5/2 5/1 6/1"),
        ("metrics.accuracy<0.11", "number", "0/1 1/1"),
        ("labels.nth=2", "", "2/3 5/3"),
        ("lineage.job=job-4", "number", "4/1 4/2"),
        ("alias:stable", "", "4/1"),
        ("number>=3", "", "2/3 5/3"),
        ("number=1", "metrics.accuracy desc", "6/1 5/1 4/1 3/1 2/1 1/1 0/1"),
        ("number!=1", "metrics.accuracy", "1/2 2/2 2/3 4/2 5/2 5/3"),
        ("number>1", "create_time", "1/2 2/2 2/3 4/2 5/2 5/3"),
        ("format=onnx AND number=3", "", "2/3 5/3"),
        ("format=triton", "", ""),
        ("number>0", "metrics.unknown", ""),
    ],
)
def test_filters_and_orders_of_versions(stub: Any, shared_family: str, text: str, order: str, wanted: str) -> None:
    asked = {"parent": "models/-", "filter": f'model:"{shared_family}.*" AND {text}', "order_by": order}
    for size in (2, 100):
        assert " ".join(versions(stub, page_size=size, **asked)) == wanted


def test_versions_of_one_model(stub: Any, family: str) -> None:
    assert versions(stub, parent=f"models/{family}.5") == ["5/3", "5/2", "5/1"]
    digest = stub.GetVersion(pb.GetVersionRequest(name=f"models/{family}.5/versions/2")).files[0].digest
    assert versions(stub, parent=f"models/{family}.5", filter=f'file="{digest}"') == ["5/2"]
    stub.DeleteVersion(pb.DeleteVersionRequest(name=f"models/{family}.5/versions/2"))
    assert versions(stub, parent=f"models/{family}.5") == ["5/3", "5/1"]
    assert versions(stub, parent=f"models/{family}.5", show_deleted=True) == ["5/3", "5/2", "5/1"]
    stub.DeleteModel(pb.DeleteModelRequest(name=f"models/{family}.5"))
    assert refusal(lambda: versions(stub, parent=f"models/{family}.5")).reason == "MODEL_NOT_FOUND"
    assert "5/3" not in versions(stub, parent="models/-", filter=f'model:"{family}.*"')


def test_pages_stay_right_while_rows_come_and_go(stub: Any, family: str) -> None:
    asked = {"filter": f'name:"{family}.*"', "page_size": 2}
    pages = model_pages(stub, **asked)
    assert next(pages) == ["0", "1"]
    stub.DeleteModel(pb.DeleteModelRequest(name=f"models/{family}.1"))
    for new in ("00", "11", "33"):
        stub.CreateModel(pb.CreateModelRequest(model=pb.Model(name=f"models/{family}.{new}")))
    assert list(itertools.chain(*pages)) == ["11", "2", "3", "33", "4", "5", "6"]


def test_a_token_belongs_to_its_list(stub: Any, shared_family: str) -> None:
    asked: dict[str, Any] = {"filter": f'name:"{shared_family}.*"', "page_size": 2}
    token = stub.ListModels(pb.ListModelsRequest(**asked)).next_page_token
    others = [
        pb.ListModelsRequest(page_token=token, filter="alias:stable"),
        pb.ListModelsRequest(page_token=token, order_by="create_time", **asked),
        pb.ListModelsRequest(page_token=token[:-3], **asked),
        pb.ListModelsRequest(page_token="%%%", **asked),
        pb.ListModelsRequest(page_token="W10", **asked),
    ]
    for request in others:
        failed = refusal(lambda r=request: stub.ListModels(r))  # type: ignore[misc]
        assert (failed.code, failed.reason, failed.fields) == (
            "INVALID_ARGUMENT",
            "PAGE_TOKEN_INVALID",
            ("page_token",),
        )


def test_large_versions_come_in_several_pages_and_all_of_them(stub: Any, name: str) -> None:
    digest = put(stub, affine().SerializeToString())
    before = stub.CreateModel(pb.CreateModelRequest(model=pb.Model(name=f"models/{name}"))).etag.removeprefix("r")
    for number in range(8):
        files = [pb.File(path="model.onnx", digest=digest)]
        files += [pb.File(path=f"data/{'x' * 200}-{index}-{number}", digest=digest) for index in range(999)]
        version = pb.Version(files=files)
        stub.CreateVersion(pb.CreateVersionRequest(parent=f"models/{name}", version=version))
    first = stub.ListVersions(pb.ListVersionsRequest(parent=f"models/{name}", page_size=100))
    assert 1 <= len(first.versions) < 8
    assert len(versions(stub, parent=f"models/{name}", page_size=100)) == 8
    present, changes = (Watcher(stub, model=f"models/{name}", from_revision=since) for since in (0, int(before)))
    shown = [event.version.number for event in present.until_synced() if event.HasField("version")]
    assert shown == [event.version.number for event in changes.take(8)] == list(range(1, 9))
    present.close()
    changes.close()


@pytest.mark.parametrize("text", ["name", "nme=x", 'name="x" name="y"', "name~x", "create_time>yesterday", "AND"])
def test_filters_that_make_no_sense(stub: Any, text: str) -> None:
    failed = refusal(lambda: stub.ListModels(pb.ListModelsRequest(filter=text)))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("filter",))


def test_orders_that_make_no_sense(stub: Any) -> None:
    assert refusal(lambda: stub.ListModels(pb.ListModelsRequest(order_by="size"))).fields == ("order_by",)
    failed = refusal(lambda: stub.ListVersions(pb.ListVersionsRequest(parent="models/-", order_by="metrics.")))
    assert failed.fields == ("order_by",)


# --- the watch ------------------------------------------------------------------------------------------------------


class Watcher:
    """Reads a watch in the background; `take` gives what comes."""

    def __init__(self, stub: Any, **asked: Any) -> None:
        self._call = stub.WatchModels(pb.WatchModelsRequest(**asked))

    def take(self, count: int) -> list[pb.WatchModelsResponse]:
        timer = threading.Timer(15, self._call.cancel)
        timer.start()
        try:
            return [next(self._call) for _ in range(count)]
        finally:
            timer.cancel()

    def until_synced(self) -> list[pb.WatchModelsResponse]:
        found: list[pb.WatchModelsResponse] = []
        while not found or found[-1].kind != Kind.KIND_SYNCED:
            found += self.take(1)
        return found

    def close(self) -> None:
        self._call.cancel()


def test_a_watch_tells_the_present_and_then_every_change(stub: Any, name: str) -> None:
    digest = put(stub, affine().SerializeToString())
    file = pb.File(path="model.onnx", digest=digest)
    stub.CreateVersion(
        pb.CreateVersionRequest(parent=f"models/{name}", version=pb.Version(files=[file]), create_model=True)
    )
    watch = Watcher(stub, model=f"models/{name}")
    present = watch.until_synced()
    assert [event.kind for event in present] == [Kind.KIND_MODEL_PUT, Kind.KIND_VERSION_PUT, Kind.KIND_SYNCED]
    assert present[1].version.name == f"models/{name}/versions/1"
    stub.SetAlias(pb.SetAliasRequest(model=f"models/{name}", alias="stable", version=1))
    stub.CreateModel(pb.CreateModelRequest(model=pb.Model(name=f"models/{name}-other")))
    stub.DeleteAlias(pb.DeleteAliasRequest(model=f"models/{name}", alias="stable"))
    stub.DeleteVersion(pb.DeleteVersionRequest(name=f"models/{name}/versions/1"))
    stub.DeleteModel(pb.DeleteModelRequest(name=f"models/{name}"))
    stub.UndeleteModel(pb.UndeleteModelRequest(name=f"models/{name}"))
    changes = watch.take(5)
    assert [event.kind for event in changes] == [
        Kind.KIND_MODEL_PUT,
        Kind.KIND_MODEL_PUT,
        Kind.KIND_VERSION_DELETED,
        Kind.KIND_MODEL_DELETED,
        Kind.KIND_MODEL_PUT,
    ]
    assert dict(changes[0].model.aliases) == {"stable": 1}
    revisions = [event.revision for event in changes]
    assert revisions == sorted(set(revisions))
    watch.close()
    again = Watcher(stub, model=f"models/{name}", from_revision=revisions[1])
    assert again.take(3) == changes[2:]
    again.close()


def test_a_watch_that_waits_hears_of_changes_at_once(stub: Any, name: str) -> None:
    watch = Watcher(stub, model=f"models/{name}")
    watch.until_synced()
    for index in range(20):
        if index == 0:
            stub.CreateModel(pb.CreateModelRequest(model=pb.Model(name=f"models/{name}")))
        else:
            change = pb.Model(name=f"models/{name}", description=str(index))
            stub.UpdateModel(pb.UpdateModelRequest(model=change))
        (event,) = watch.take(1)
        assert event.model.description == (str(index) if index else "")
    watch.close()


def test_watchers_see_concurrent_changes_in_one_order(stub: Any, name: str) -> None:
    start = stub.CreateModel(pb.CreateModelRequest(model=pb.Model(name=f"models/{name}")))
    revision = int(start.etag.removeprefix("r"))
    watchers = [Watcher(stub, model=f"models/{name}", from_revision=revision) for _ in range(3)]

    def change(who: int) -> None:
        for index in range(10):
            stub.UpdateModel(pb.UpdateModelRequest(model=pb.Model(name=start.name, description=f"{who}.{index}")))

    threads = [threading.Thread(target=change, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    seen = [watcher.take(40) for watcher in watchers]
    for thread in threads:
        thread.join()
    assert seen[0] == seen[1] == seen[2]
    revisions = [event.revision for event in seen[0]]
    assert revisions == list(range(revision + 1, revision + 41))


def test_a_revision_that_has_not_been_is_refused(stub: Any) -> None:
    watch = stub.WatchModels(pb.WatchModelsRequest(from_revision=2**60))
    failed = refusal(lambda: next(watch))
    assert (failed.code, failed.reason, failed.fields) == ("OUT_OF_RANGE", "REVISION_GONE", ("from_revision",))


def test_a_watcher_that_leaves_is_forgotten(stub: Any, name: str) -> None:
    watches = [Watcher(stub, model=f"models/{name}") for _ in range(20)]
    for watch in watches:
        watch.until_synced()
        watch.close()
    with pytest.raises(grpc.RpcError):
        watches[0].take(1)
