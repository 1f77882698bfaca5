"""A whole record, small, that tests change one part of."""

from __future__ import annotations

from typing import Any

from services.trainer.data import Column, File, Manifest, Splits
from services.trainer.jobs.spec import Resources
from services.trainer.reproduce.code import Code, CodeFile
from services.trainer.reproduce.determinism import Determinism, Plan
from services.trainer.reproduce.machine import Machine, Pool
from services.trainer.reproduce.packages import Lock, Package
from services.trainer.reproduce.record import Data, Record


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def manifest(first: str = "a") -> Manifest:
    return Manifest(
        format="csv",
        columns=(Column(name="x", dtype="float64"),),
        files=(
            File(uri="file:///data/one.csv", bytes=10, sha256=first * 64, rows=2),
            File(uri="file:///data/two.csv", bytes=10, sha256="b" * 64, rows=2),
        ),
    )


def lock(*packages: Package, **fields: Any) -> Lock:
    chosen = packages or (
        Package(name="numpy", version="2.4.6", content=digest("1")),
        Package(name="torch", version="2.13.0+cpu", content=digest("2")),
    )
    return Lock(**{"python": "3.11.7", "platform": "linux-x86_64", "packages": chosen, **fields})


def code(first: str = "c", entry: str = "digits.train:main") -> Code:
    files = (CodeFile(path="digits/train.py", digest=digest(first)), CodeFile(path="digits/net.py", digest=digest("d")))
    return Code(files=files, entry=entry)


def record(**fields: Any) -> Record:
    machine = Machine(
        system="Linux",
        cpu="Some CPU (25/1/1)",
        features=("avx", "avx2", "fma"),
        cores=2,
        pools=(Pool(api="blas", library="openblas", threads=1, architecture="Haswell"),),
    )
    return Record(
        **{
            "data": {"data": Data(manifest=manifest(), splits=Splits())},
            "code": code(),
            "environment": lock(),
            "machine": machine,
            "seed": 7,
            "parameters": {"rate": 0.1, "layers": [64, 32]},
            "resources": Resources(),
            "determinism": Determinism(plan=Plan(seed=7)),
            **fields,
        }
    )
