"""Generates the Python stubs of the contract into the SDK, and checks that the committed ones are current.

    python -m infra.protos generate | check | lint | release

`lint` runs `buf lint`, and `buf breaking` against the image of the last release where there is one. buf fetches
nothing: it reads a descriptor image made by protoc, with google/api from the package googleapis-common-protos.
`release` makes the present contract the one that later ones must stay compatible with.
"""

from __future__ import annotations

import filecmp
import importlib.resources
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from google.api import annotations_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "sdk"
RELEASED = PROTOS / "released.binpb"
LINT = {
    "version": "v2",
    "lint": {
        "use": ["STANDARD"],
        # Methods answer with the resource itself, as the AIPs ask, and not with a wrapper each.
        "except": [
            "RPC_REQUEST_RESPONSE_UNIQUE",
            "RPC_RESPONSE_STANDARD_NAME",
            "RPC_REQUEST_STANDARD_NAME",
        ],
    },
    "breaking": {"use": ["WIRE_JSON"]},
}


def sources() -> list[str]:
    """Paths of our own .proto files, relative to `protos/`."""
    return sorted(str(p.relative_to(PROTOS)) for p in PROTOS.glob("bmase/**/*.proto"))


def includes() -> list[str]:
    """protoc's include arguments: ours, the well-known types, google/api."""
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    google_api = Path(annotations_pb2.__file__).parents[2]
    return [f"-I{PROTOS}", f"-I{well_known}", f"-I{google_api}"]


def run_protoc(*arguments: str) -> None:
    """Runs protoc; raises SystemExit with its own messages on stderr."""
    if protoc.main(["protoc", *includes(), *arguments, *sources()]) != 0:
        raise SystemExit("protoc failed; see its messages above")


def generate(target: Path) -> None:
    """Writes *_pb2.py, *_pb2.pyi and *_pb2_grpc.py under `target`, with packages, path equal to import."""
    run_protoc(f"--python_out={target}", f"--pyi_out={target}", f"--grpc_python_out={target}")
    for folder in {(target / s).parent for s in sources()}:
        for package in (folder, folder.parent):
            (package / "__init__.py").touch()


def image(target: Path) -> Path:
    """A descriptor set with imports and comments: what buf and Envoy's transcoder read."""
    run_protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={target}")
    return target


def generated(root: Path) -> set[Path]:
    """Generated files below `root`, relative to it."""
    return {p.relative_to(root) for p in root.glob("bmase/*/v1/*_pb2*.py*") if p.suffix in {".py", ".pyi"}}


def check() -> None:
    """SystemExit when the committed stubs differ from what the protos give."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        names = generated(fresh) | generated(STUBS)
        stale = [str(n) for n in sorted(names) if not _same(fresh / n, STUBS / n)]
    if stale:
        raise SystemExit("stubs are not current, run `make proto`: " + ", ".join(stale))


def _same(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and filecmp.cmp(a, b, shallow=False)


def lint() -> None:
    """`buf lint` and `buf breaking` on the descriptor image; the findings go to stdout."""
    from infra.runtime import binary  # noqa: PLC0415  only this verb needs the binary

    buf = str(binary("buf"))
    with tempfile.TemporaryDirectory() as scratch:
        current = image(Path(scratch) / "image.binpb")
        config = ["--config", json.dumps(LINT)]
        only_ours = [f"--path={s}" for s in sources()]
        subprocess.run([buf, "lint", str(current), *config, *only_ours], check=True)
        if RELEASED.exists():
            subprocess.run([buf, "breaking", str(current), "--against", str(RELEASED), *config, *only_ours], check=True)


def main() -> None:
    """Entry point: one verb."""
    verbs = {"generate": lambda: generate(STUBS), "check": check, "lint": lint, "release": lambda: image(RELEASED)}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        raise SystemExit(f"usage: python -m infra.protos {' | '.join(verbs)}")
    try:
        verbs[sys.argv[1]]()
    except subprocess.CalledProcessError as failure:
        raise SystemExit(failure.returncode) from None


if __name__ == "__main__":
    main()
