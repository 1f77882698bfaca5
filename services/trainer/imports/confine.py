"""What a process gives up before it opens a foreign model: more memory, files and time than its limits, and system
calls.

It cannot start another process or program afterwards, so its memory is bounded by its own address space, the scratch
folder and 64 MiB of shared memory. `python -m` of this module tries it out and ends with 0.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import sys
from dataclasses import dataclass

CLONE_THREAD = 0x00010000
# Nothing of this is needed to compute. With those that only root may call: a hole in the kernel needs them first.
FORBIDDEN = (
    "fork", "vfork", "execve", "execveat",
    "socket", "connect", "bind", "listen", "accept", "accept4",
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_open", "pidfd_getfd", "kcmp",
    "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "open_tree", "move_mount", "fsopen", "fsmount",
    "fsconfig",
    "fspick", "mount_setattr", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key",
    "io_uring_setup", "io_uring_enter", "io_uring_register", "kexec_load", "kexec_file_load", "init_module",
    "finit_module",
    "delete_module", "name_to_handle_at", "open_by_handle_at", "swapon", "swapoff", "reboot", "acct", "quotactl",
    "personality", "syslog", "sethostname", "setdomainname", "settimeofday", "clock_settime", "adjtimex", "iopl",
    "ioperm",
    "shmget", "shmat", "msgget", "semget", "mq_open", "memfd_create", "memfd_secret", "fanotify_init", "lookup_dcookie",
    "move_pages", "migrate_pages", "mbind", "vhangup", "nfsservctl", "landlock_create_ruleset",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """Of one process; the time is of the CPU, all threads together."""

    memory_bytes: int
    seconds: int
    scratch_bytes: int


def confine(limits: Limits, *, filtered: bool = True) -> None:
    """For good: hard limits cannot be raised again, nor can a filter be taken off. OSError when something is not to
    be had.
    """
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.seconds),
        (resource.RLIMIT_FSIZE, limits.scratch_bytes),
        (resource.RLIMIT_NOFILE, 512),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(what, (most, most))
    if filtered:
        _filter()


def _filter() -> None:
    """Calls that are refused fail with EPERM: a library that only asks can go on."""
    import pyseccomp  # noqa: PLC0415  loads libseccomp

    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in FORBIDDEN:
        if pyseccomp.resolve_syscall(0, name) != -1:
            rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    thread = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD, 0)
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", thread)
    # Its flags lie in memory where no filter sees them. libc makes threads by clone when there is none.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.load()


def _check() -> None:
    """Raises when something that was forbidden can be done all the same."""
    if os.geteuid() == 0:
        raise OSError("the process is still root")
    for what, act in (("a process", os.fork), ("a socket", socket.socket)):
        try:
            act()
        except PermissionError:
            continue
        raise OSError(f"{what} could be made inside the sandbox")


if __name__ == "__main__":
    try:
        confine(Limits(2 << 30, 10, 16 << 20))
        _check()
    except (OSError, RuntimeError, ImportError) as error:
        sys.exit(str(error))
