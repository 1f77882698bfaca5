"""Pickles that may only ask for what models of scikit-learn and its like are made of.

A pickle is a program: it names functions and has them called. It is gone through twice. `rehearse` runs it with a
dummy in the
place of everything that it names, so that all names are known and nothing was called; it uses Python's own
interpreter of
pickles, not a parser that could read them differently. `load` then resolves only what is allowed. Neither makes a
hostile
pickle harmless (an allowed constructor can still be asked for a terabyte): both run inside the sandbox.
"""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from joblib import numpy_pickle
from joblib.numpy_pickle_utils import _validate_fileobject_and_memmap

NUMPY_CORE = ("numpy.core", "numpy._core")
EXACT = frozenset(
    [
        *(f"builtins.{name}" for name in (
            "object", "set", "frozenset", "list", "dict", "tuple", "int", "float", "bool", "str", "bytes",
            "bytearray", "complex",
            "slice", "range",
        )),
        *(f"{core}.multiarray.{name}" for core in NUMPY_CORE for name in ("_reconstruct", "scalar")),
        *(f"{core}.numeric._frombuffer" for core in NUMPY_CORE),
        "numpy.dtype", "numpy.ndarray", "numpy.ma.core.MaskedArray", "numpy.ma.core._mareconstruct",
        "numpy.random._pickle.__randomstate_ctor", "numpy.random._pickle.__generator_ctor",
        "numpy.random._pickle.__bit_generator_ctor", "numpy.random._mt19937.MT19937", "numpy.random._pcg64.PCG64",
        "numpy.random.bit_generator.SeedSequence", "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
        "numpy.random.mtrand.RandomState", "numpy.random._generator.Generator",
        "collections.OrderedDict", "collections.defaultdict", "copyreg._reconstructor", "_codecs.encode",
        "joblib.numpy_pickle.NumpyArrayWrapper", "datetime.datetime", "datetime.date", "functools.partial",
        "scipy.interpolate._bsplines.BSpline", "scipy.sparse._csr.csr_matrix", "scipy.sparse._csc.csc_matrix",
        "scipy.sparse._coo.coo_matrix", "scipy.sparse._csr.csr_array", "scipy.sparse._csc.csc_array",
        "scipy.special._ufuncs.expit", "scipy.special._ufuncs.logit",
        "xgboost.core.Booster", "lightgbm.basic.Booster",
    ]
)  # fmt: skip
# Of these packages classes, as models and their parts are, and the functions by which Cython makes its objects anew.
PACKAGES = ("sklearn", "xgboost.sklearn", "lightgbm.sklearn", "xgboost.compat", "lightgbm.compat")
CYTHON = "__pyx_unpickle_"
# They read files, go to the network, or call what they are told to call.
NEVER = (
    "sklearn.datasets",
    "sklearn.externals",
    "sklearn.utils._testing",
    "sklearn.utils.parallel",
    "sklearn.utils.fixes",
    "sklearn.utils._mocking",
)
# How many bytes of an array follow in joblib's files depends on these, so they are real in a rehearsal as well.
REAL = {"numpy.dtype": np.dtype, "joblib.numpy_pickle.NumpyArrayWrapper": numpy_pickle.NumpyArrayWrapper}


class UnsafePickle(Exception):  # noqa: N818 - what it is
    """The pickle names what no model of its kind needs; `names` are module.name."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"it asks for {', '.join(names)}")
        self.names = names


def may_name(module: str, name: str) -> bool:
    """Whether a pickle may ask for this. What the packages of models hold is decided by what it turns out to be."""
    whole = f"{module}.{name}"
    if whole in EXACT:
        return True
    if "." in name or (name.startswith("__") and not name.startswith(CYTHON)):
        return False  # a dotted name would walk from an allowed class to anything
    if module in {"numpy", *NUMPY_CORE} or module.startswith("numpy.dtypes"):
        return _is_number_or_ufunc(name)
    inside = any(module == package or module.startswith(f"{package}.") for package in PACKAGES)
    return inside and not module.startswith(NEVER)


def _is_number_or_ufunc(name: str) -> bool:
    found = getattr(np, name, None)
    return isinstance(found, np.ufunc) or (isinstance(found, type) and issubclass(found, (np.generic, np.dtype)))


def resolve(module: str, name: str) -> Any:
    """The thing itself; UnsafePickle when it is not allowed."""
    if not may_name(module, name):
        raise UnsafePickle([f"{module}.{name}"])
    whole = f"{module}.{name}"
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ValueError(f"it needs {whole}, which the libraries here do not have") from None
    if whole in EXACT or isinstance(found, np.ufunc) or _is_class_of_its_own(found):
        return found
    if name.startswith(CYTHON):
        return found
    raise UnsafePickle([whole])


def _is_class_of_its_own(found: Any) -> bool:
    """A class, and not one that the package only imported: `sklearn.x.os` and `sklearn.x.Popen` are neither."""
    return isinstance(found, type) and found.__module__.partition(".")[0] in {"sklearn", "xgboost", "lightgbm", "numpy"}


class Dummy:
    """Stands for whatever a pickle names: it can be called, filled and given a state, and nothing happens."""

    def __new__(cls, *_: Any, **__: Any) -> Dummy:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> Dummy:
        return Dummy()

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """As lists have it."""

    def extend(self, values: Any) -> None:
        """As lists have it."""

    def add(self, value: Any) -> None:
        """As sets have it."""


class _Unpickler(numpy_pickle.NumpyUnpickler):  # type: ignore[misc]
    """joblib's unpickler (Python's own, in Python; it reads plain pickles as well), asking here for every name."""

    def __init__(self, file: Any, rehearsal: list[str] | None) -> None:
        super().__init__("", file, ensure_native_byte_order=False)
        self.rehearsal = rehearsal

    def find_class(self, module: str, name: str) -> Any:
        if self.rehearsal is None:
            return resolve(module, name)
        if not may_name(module, name):
            self.rehearsal.append(f"{module}.{name}")
        return REAL.get(f"{module}.{name}") or _dummy_or_number(module, name)


def _dummy_or_number(module: str, name: str) -> Any:
    found = getattr(np, name, None) if module == "numpy" else None
    return found if isinstance(found, type) and issubclass(found, np.generic) else Dummy


def rehearse(path: Path) -> None:
    """UnsafePickle with all names that are not allowed. Nothing that the file names was called."""
    names: list[str] = []
    try:
        _through(path, names)
    except UnsafePickle:
        raise
    except Exception as error:
        if not names:
            raise ValueError(f"it is no pickle that can be followed: {type(error).__name__}: {error}") from error
    if names:
        raise UnsafePickle(list(dict.fromkeys(names)))


def load(path: Path) -> Any:
    """The object. To be called in the sandbox only, after `rehearse`."""
    return _through(path, None)


def _through(path: Path, rehearsal: list[str] | None) -> Any:
    with path.open("rb") as raw, _validate_fileobject_and_memmap(raw, str(path)) as (file, _):
        if isinstance(file, str):
            raise pickle.UnpicklingError("joblib's format before 0.10 is not read: save it again with a later joblib")
        return _Unpickler(file, rehearsal).load()
