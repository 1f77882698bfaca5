"""Models that are attacks: pickles that call what they should not, and code that tries to get out of where it is
run.
"""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import Any


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def named(module: str, name: str, *arguments: Any) -> bytes:
    """A pickle that calls a function which need not exist here, nor be what its name says."""
    out = io.BytesIO()
    out.write(b"\x80\x04")
    for word in (module, name):
        raw = word.encode()
        out.write(b"X" + struct.pack("<I", len(raw)) + raw)
    out.write(b"\x93" + pickle.dumps(arguments, 2)[2:-1] + b"R.")
    return out.getvalue()


def pickles(mark: Path) -> dict[str, bytes]:
    """By what they try. Those that can leave a trace leave it at `mark`."""
    shell = f"touch {mark}"
    return {
        "a command": named("os", "system", shell),
        "a command, by its other name": named("posix", "system", shell),
        "a program": named("subprocess", "check_call", ["touch", str(mark)]),
        "a reverse shell": named(
            "builtins", "exec", f"import socket; socket.create_connection(('127.0.0.1', 9)); open({str(mark)!r}, 'w')"
        ),
        "a file to write": named("builtins", "open", str(mark), "w"),
        "a file to read": named("numpy", "fromfile", "/etc/shadow", "u1"),
        "a network": named("socket", "create_connection", ("127.0.0.1", 9)),
        "a fork bomb": named("os", "fork"),
        "evaluation": named("builtins", "eval", f"open({str(mark)!r}, 'w')"),
        "an attribute of an allowed class": named("sklearn.base", "BaseEstimator.__init__.__globals__", ""),
        "a function of a package of models": named("sklearn.pipeline", "clone", 1),
        "another unpickler": named("joblib", "load", "/model/model.pkl"),
        "a builder of callables": named("operator", "attrgetter", "__class__"),
        "numpy's own loader of code": named("numpy.testing._private.utils", "runstring", shell, {}),
    }


def bombs() -> dict[str, bytes]:
    """Of names that models need, asked for what no machine has: only the sandbox holds them."""
    endless = b"\x80\x04" + b"cbuiltins\nset\ncbuiltins\nrange\nM\x00\x00J\xff\xff\xff\x7f\x86R\x85R."
    return {"memory": named("builtins", "bytearray", 1 << 41), "a set of two thousand millions": endless}


# Run inside, after `confine`: what each tries returns something true when it came through.
INSIDE = """
import ctypes, json, os, resource, socket, subprocess, sys, threading, time, urllib.request
from services.trainer.imports.confine import Limits, confine

mark, port = sys.argv[1], int(sys.argv[2])
confine(Limits(1 << 30, 20, 32 << 20))
libc = ctypes.CDLL(None, use_errno=True)

def forks():
    for made in range(100):
        if os.fork() == 0:
            os._exit(0)
    return True

def memory():
    kept = [bytearray(64 << 20) for _ in range(64)]
    return len(kept)

def fills(path):
    with open(path, "wb") as file:
        for _ in range(256):
            file.write(bytes(1 << 20))
    return True

def raises_limits():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True

def kills():
    me = os.getpid()
    others = [int(each) for each in os.listdir("/proc") if each.isdigit() and int(each) != me]
    return [each for each in others if libc.kill(each, 0) == 0 and each != 1]

attempts = {
    "run a command": lambda: os.system(f"touch {mark}") == 0,
    "run a program": lambda: subprocess.run(["/usr/bin/touch", mark]),
    "become a program": lambda: os.execv("/usr/bin/touch", ["touch", mark]),
    "fork": forks,
    "take all memory": memory,
    "fill shared memory": lambda: fills("/dev/shm/full"),
    "fill the scratch folder": lambda: fills("/scratch/full"),
    "lift its limits": raises_limits,
    "reach a server on this machine": lambda: socket.create_connection(("127.0.0.1", port), 2),
    "open a page": lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=2),
    "make a socket": lambda: libc.socket(2, 1, 0) >= 0,
    "read shadow": lambda: open("/etc/shadow").read(),
    "read passwd": lambda: open("/etc/passwd").read(),
    "list homes": lambda: os.listdir("/root") and os.listdir("/home"),
    "write outside": lambda: open(mark, "w"),
    "change the model": lambda: open("/model/attack.py", "a"),
    "change our code": lambda: open("/code/services/__init__.py", "a"),
    "change the interpreter": lambda: open(os.__file__, "a"),
    "write in the system": lambda: open("/usr/bin/mark", "w"),
    "change a setting of the kernel": lambda: open("/proc/sys/kernel/core_pattern", "w").write("|x"),
    "become root": lambda: os.setuid(0) is None,
    "see secrets in the environment": lambda: [name for name in os.environ if "SECRET" in name],
    "signal another process": kills,
    "make a namespace": lambda: libc.unshare(0x10000000) == 0,
    "mount": lambda: libc.mount(b"none", b"/scratch", b"tmpfs", 0, None) == 0,
    "trace a process": lambda: libc.ptrace(16, 1, 0, 0) == 0,
    "load a program into the kernel": lambda: libc.syscall(321, 0, None, 0) >= 0,
}
done = {}
for name, act in attempts.items():
    try:
        came = act()
    except BaseException as error:
        done[name] = f"{type(error).__name__}: {error}"
    else:
        done[name] = "CAME THROUGH" if came else "nothing"
threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(4)]
[thread.start() for thread in threads]
print(json.dumps(done))
"""
