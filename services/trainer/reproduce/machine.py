"""The machine under the code, as far as it can change what numbers come out: instructions, threads, libraries.

BLAS, OpenMP and PyTorch choose their kernels by the CPU's vector instructions and split sums by the number of threads;
either changes the order of additions, and so the last bits.
"""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from services.trainer.reproduce.checks import Checks
from services.trainer.reproduce.documents import Document
from services.trainer.reproduce.packages import Lock, installed

# Instructions that numeric libraries ask for when they choose a kernel; of x86-64 and of 64-bit Arm.
_PREFIXES = ("avx", "amx", "sve", "smef", "smei", "smeb")  # smep is of x86 and guards memory
_NAMES = frozenset(
    {"fma", "fma4", "f16c", "sse4_1", "sse4_2", "asimd", "asimdhp", "asimddp", "fphp", "bf16", "i8mm", "sme", "sme2"}
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Pool(Document):
    """A library with threads of its own, as it is loaded: BLAS or OpenMP."""

    api: str  # blas, openmp
    library: str  # openblas, mkl, blis, libgomp, ...
    version: str = ""
    threads: int
    architecture: str = ""  # whose kernels it chose
    layer: str = ""  # what it makes its threads with


class Torch(Document):
    """PyTorch as it was built and as it looks at this machine."""

    version: str
    cuda: str = ""
    cudnn: str = ""
    capability: str = ""  # of the CPU, whose kernels it chose: DEFAULT, AVX2, AVX512
    threads: int = 0
    devices: tuple[str, ...] = ()


class Machine(Document):
    """`features` are the CPU's instructions that matter for numbers."""

    system: str
    libc: str = ""
    cpu: str = ""
    features: tuple[str, ...] = ()
    cores: int
    pools: tuple[Pool, ...] = ()
    environment: Mapping[str, str] = {}  # variables that say how many threads
    torch: Torch | None = None


def observe_machine(torch: ModuleType | None = None) -> Machine:
    """This process, now: import what trains first, as a library that is not loaded has no pool."""
    described = _cpuinfo()
    return Machine(
        system=platform.system(),
        libc=" ".join(platform.libc_ver()).strip(),
        cpu=cpu_model(described),
        features=cpu_features(described),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        pools=read_pools(_pools()),
        environment={name: os.environ[name] for name in THREADS if name in os.environ},
        torch=None if torch is None else read_torch(torch),
    )


PLATFORM = ("bmase", "bmase-platform")  # our own distributions: they are the code, not what it stands on


def observe_lock(*, check: bool = True, checked: Path | None = None) -> Lock:
    """The running environment but for the platform itself. `checked`: a file that remembers which packages were read,
    and are not read again while their files stay as they are.
    """
    checks = Checks(checked)
    packages = installed(check=check, checks=checks)
    checks.save()
    return Lock(**running(), packages=tuple(package for package in packages if package.name not in PLATFORM))


def running() -> dict[str, str]:
    """Which Python this is, in the words of a lock."""
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": sysconfig.get_platform(),
    }


def cpu_features(cpuinfo: str) -> tuple[str, ...]:
    """Sorted, from the text of /proc/cpuinfo; only those that every core has."""
    lines = [value.split() for key, value in _fields(cpuinfo) if key in {"flags", "Features"}]
    common = set(lines[0]).intersection(*lines[1:]) if lines else set()
    return tuple(sorted(name for name in common if name in _NAMES or name.startswith(_PREFIXES)))


def cpu_model(cpuinfo: str) -> str:
    """The name that the CPU gives itself, and family, model and stepping where it has them."""
    fields: dict[str, str] = {}
    for key, value in _fields(cpuinfo):
        fields.setdefault(key, value)
    kind = [fields[key] for key in ("cpu family", "model", "stepping") if fields.get(key)]
    name = fields.get("model name") or fields.get("CPU part", "")
    return f"{name} ({'/'.join(kind)})" if name and kind else name


def read_pools(found: Sequence[Mapping[str, Any]]) -> tuple[Pool, ...]:
    """From what threadpoolctl tells, without paths, in an order of their own."""
    pools = [
        Pool(
            api=str(each["user_api"]),
            library=str(each["internal_api"] if each["user_api"] == "blas" else each["prefix"]),
            version=str(each.get("version") or ""),
            threads=int(each["num_threads"]),
            architecture=str(each.get("architecture") or ""),
            layer=str(each.get("threading_layer") or ""),
        )
        for each in found
    ]
    return tuple(sorted(pools, key=lambda pool: (pool.api, pool.library, pool.version, pool.threads)))


def read_torch(torch: Any) -> Torch:
    """From the imported module."""
    cuda = torch.cuda
    return Torch(
        version=str(torch.__version__),
        cuda=str(torch.version.cuda or ""),
        cudnn=str(torch.backends.cudnn.version() or ""),
        capability=str(torch.backends.cpu.get_cpu_capability()),
        threads=int(torch.get_num_threads()),
        devices=tuple(cuda.get_device_name(i) for i in range(cuda.device_count())) if cuda.is_available() else (),
    )


def _pools() -> list[dict[str, Any]]:
    try:
        import threadpoolctl  # noqa: PLC0415 - comes with scikit-learn; without it, pools are not recorded
    except ImportError:
        return []
    return list(threadpoolctl.threadpool_info())


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"model name: {platform.processor()}"


def _fields(cpuinfo: str) -> Iterable[tuple[str, str]]:
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip(), value.strip()
