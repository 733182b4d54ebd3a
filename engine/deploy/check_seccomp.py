"""Runs a node under a seccomp profile for containers, as a runtime of containers would apply it.

    python3 check_seccomp.py seccomp.json target/debug/catena-engine target/debug/catena

With the profile the node has to use io_uring; without the profile's rule for io_uring it has to fall back to
epoll, and say so in its log. Uses the libseccomp of the system, because runtimes do, too.
"""

import ctypes
import ctypes.util
import json
import subprocess
import sys
import tempfile

ALLOW, REFUSE_EPERM = 0x7FFF0000, 0x00050000 | 1


def load(profile):
    """Applies a profile to this process, for good."""
    lib = ctypes.CDLL(ctypes.util.find_library("seccomp"), use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(REFUSE_EPERM)))
    for rule in profile["syscalls"]:
        for name in rule["names"]:
            number = lib.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                raise SystemExit(f"{name} is no system call")
            if lib.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, 0, None) != 0:
                raise SystemExit(f"no rule can be made for {name}")
    if lib.seccomp_load(context) != 0:
        raise SystemExit("the profile cannot be applied")


def run(profile, engine, client):
    """Starts a node under a profile, uses it, and stops it; returns its first line and its log."""
    with tempfile.TemporaryFile("w+") as log:
        arguments = [engine, "--listen", "127.0.0.1:0", "--cores", "0", "--no-pin", "--metrics", "127.0.0.1:0"]
        node = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=lambda: load(profile),
        )
        try:
            ready = node.stdout.readline()
            if not ready.startswith("ready on "):
                log.seek(0)
                raise SystemExit(f"the node does not start: {ready}{log.read()}")
            add = [client, "--engine", ready.split()[2], "counter", "visits", "add", "1"]
            said = subprocess.run(add, capture_output=True, check=True).stdout
            assert said.strip() == b"1", said
        finally:
            node.terminate()
            code = node.wait()
        node.stdout.close()
        log.seek(0)
        log = log.read()
        if code != 0:
            raise SystemExit(f"the node ends with {code}: {log}")
        return ready, log


def main():
    path, engine, client = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        profile = json.load(file)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ALLOW"}
    names = [name for rule in profile["syscalls"] for name in rule["names"]]
    assert len(names) == len(set(names)), "each system call is listed once"
    if ctypes.util.find_library("seccomp") is None:
        print("skipped: no libseccomp here")
        return
    rings = [rule for rule in profile["syscalls"] if "io_uring_setup" in rule["names"]]
    without = {**profile, "syscalls": [rule for rule in profile["syscalls"] if rule not in rings]}
    refused, log = run(without, engine, client)
    assert "epoll" in refused and "the kernel refuses io_uring" in log, (refused, log)
    ready, log = run(profile, engine, client)
    # A kernel without io_uring, or whose administrator has disabled it, refuses it in any case.
    if "io_uring" not in ready:
        print(f"no io_uring here: {log.strip()}")
    print(f"{len(names)} system calls: {ready.strip()}; without io_uring: {refused.strip()}")


if __name__ == "__main__":
    main()
