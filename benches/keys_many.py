"""Many keys against ten: start to ready, resident memory, and how long until a change of the file is in force.

    KEYS=100000    keys of the large file
    STARTS=5       starts, and changes, to take the median of
"""

import os
import re
import statistics
import subprocess
import time

import key_file
import reload_service as bench

KEYS = int(os.environ.get("KEYS", "100000"))
STARTS = int(os.environ.get("STARTS", "5"))
OPTIONS = [*bench.UNTHROTTLED, "--log-denials-per-second", "0"]


def status(client, key):
    """Of a pull with the key as a bearer."""
    return client.exchange((f"GET /auth HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
                            "X-Real-IP: 192.0.2.1\r\n\r\n").encode())[0]


def run(folder, count):
    """Medians: milliseconds to ready, MiB after the start, the most, and after a change; seconds until it was in force."""
    htpasswd, keys = os.path.join(folder, "htpasswd"), os.path.join(folder, f"keys.{count}")
    plain, _ = key_file.many(keys, count, "alice")
    ready, resident, peak = [], [], []
    for _ in range(STARTS):
        with bench.Service(htpasswd, "--api-keys", keys, *OPTIONS) as service:
            ready.append(service.wait_until_ready() * 1000)
            resident.append(service.memory("VmRSS"))
            peak.append(service.memory("VmHWM"))
            client = bench.Client(service.port)
            if status(client, plain) != 200 or service.metrics()["keys"] != count:
                bench.fail("the keys are not all good")
            client.close()
    revoked = []
    with bench.Service(htpasswd, "--api-keys", keys, *OPTIONS) as service:
        service.wait_until_ready()
        client = bench.Client(service.port)
        for number in range(STARTS):
            made = subprocess.run([bench.DOORWARD, "api-key", "new", "--api-keys", keys, "--owner", "alice", "--name", f"new{number}"],
                                  capture_output=True, text=True, check=True).stdout.strip()
            while status(client, made) != 200:
                time.sleep(0.01)
            subprocess.run([bench.DOORWARD, "api-key", "revoke", "--api-keys", keys, made[:14]], capture_output=True, check=True)
            begin = time.monotonic()
            while status(client, made) != 401:
                if status(client, plain) != 200:
                    bench.fail("another key was refused")
                time.sleep(0.001)
            revoked.append(time.monotonic() - begin)
        after, most = service.memory("VmRSS"), service.memory("VmHWM")
        client.close()
    return [statistics.median(ready), statistics.median(resident), statistics.median(peak), after, most,
            statistics.median(revoked) * 1000, max(revoked) * 1000, os.path.getsize(keys) / 1e6]


def main():
    with bench.temporary_folder() as folder:
        with open(os.path.join(os.path.dirname(bench.HERE), "htpasswd.example"), encoding="ascii") as example:
            alice = re.search(r"(?m)^alice:.*$", example.read())[0]
        with open(os.path.join(folder, "htpasswd"), "w", encoding="ascii") as file:
            file.write(alice + "\n")
        few, many = run(folder, 10), run(folder, KEYS)
    names = ["start to ready, ms", "resident after the start, MiB", "  most there was", f"resident after {2 * STARTS} changes, MiB",
             "  most there was", "a revoked key was refused after, ms, median", "  at most", "the file, MB"]
    bench.table(["", "10 keys", f"{KEYS} keys"], [[name, f"{a:.1f}", f"{b:.1f}"] for name, a, b in zip(names, few, many)])


main()
