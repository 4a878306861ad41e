"""Which system calls a jailed tool is refused: a filter for the kernel (seccomp), as the bytes that bubblewrap hands it.

A deny-list: what no tool of ours needs and what flaws of kernels are reached by. No sockets of any kind, no namespaces, mounts or modules,
no looking into other processes, no keys, no BPF, no io_uring. Refused is EPERM; `clone3`, whose flags a filter cannot see, is ENOSYS, upon
which the C library takes `clone`.

Invariants: a call of another architecture's table (32-bit calls on a 64-bit kernel) is refused. Not guaranteed: that what is left is
harmless; it is a smaller kernel to attack, not none. For other processors than the two below there is no filter, and `Jail` says so.

Sources: seccomp(2); linux/filter.h, linux/seccomp.h; the kernel's tables of system calls.
"""

from __future__ import annotations

import platform
import struct
from typing import Final

_DENIED: Final = {  # name: (x86-64, AArch64)
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "vmsplice": (278, 75),
}
_CLONE, _CLONE3 = (56, 220), 435
_NEW_NAMESPACES = 0x7E020000
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # AUDIT_ARCH_…
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16


def program(machine: str | None = None) -> bytes | None:
    """Return the filter for a kind of processor (this one's if none is named), or None where there is none."""
    known = _ARCHITECTURES.get(platform.machine() if machine is None else machine)
    if known is None:
        return None
    column, architecture = known
    lines = [
        *((_LOAD, 0, 0, _ARCHITECTURE_AT), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _EPERM)),
        (_LOAD, 0, 0, _NUMBER_AT),
        *(((_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _EPERM)) if column == 0 else ()),
        *((_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ENOSYS)),
    ]
    for numbers in _DENIED.values():
        lines += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _EPERM)]
    lines += [
        *((_EQUAL, 0, 3, _CLONE[column]), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)),
        *((_ANY_BIT, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, _EPERM)),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
