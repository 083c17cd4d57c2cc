#!/usr/bin/env python3
"""Can an unknown user be told from a known one by the time of the refusal?

One file holds users of every format. Each class of users, the unknown one and one with a damaged line among them, gets
the same number of wrong passwords, all different, in random order over one connection, with nothing cached and the
throttle out of the way. For each pair of the unknown class with another, the threshold that tells them apart best is
chosen on one half of the sample and judged on the other half: 50 % right is guessing, and 55 % is the target.

    SAMPLES=2000   wrong passwords for each class; at least 1,000
"""

import os
import random
import statistics
import string
import subprocess
import time

import reload_service as bench

SAMPLES = max(1000, int(os.environ.get("SAMPLES", "2000")))
TARGET = 55.0
CRYPT64 = "./" + string.digits + string.ascii_letters


def crypt64(length):
    return "".join(random.choice(CRYPT64) for _ in range(length))


def digest64(length):
    """As many characters of crypt(3)'s base64, the last of which holds two bits."""
    return crypt64(length - 1) + random.choice(CRYPT64[:4])


# Hashes of nobody's password, with low costs, so that there is time for many of them. In bcrypt's base64 the last
# character of salt and digest holds its bits at the other end.
LINES = {
    "bcrypt-7": lambda: "$2y$07$" + crypt64(21) + "." + crypt64(30) + ".",
    "bcrypt-8": lambda: "$2y$08$" + crypt64(21) + "." + crypt64(30) + ".",
    "apr1": lambda: "$apr1$" + crypt64(8) + "$" + digest64(22),
    "md5-crypt": lambda: "$1$" + crypt64(8) + "$" + digest64(22),
    "sha256-crypt": lambda: "$5$rounds=1000$" + crypt64(16) + "$" + digest64(43),
    "sha512-crypt": lambda: "$6$rounds=1000$" + crypt64(16) + "$" + digest64(86),
    "yescrypt": lambda: "$y$j75$" + digest64(22) + "$" + digest64(43),
    "argon2id": lambda: "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
    "sha": lambda: "{SHA}" + "A" * 27 + "=",
    "ssha": lambda: "{SSHA}" + "A" * 32,
    "damaged": lambda: "$2y$08$cut",
    # Of the right length and alphabet, but no bytes have this digest.
    "damaged-sha256": lambda: "$5$rounds=1000$" + crypt64(16) + "$" + crypt64(42) + "z",
    "damaged-yescrypt": lambda: "$y$j75$" + digest64(22) + "$" + crypt64(42) + "z",
}
UNKNOWN = "unknown"
KINDS = [UNKNOWN, *LINES]


def measure(port):
    """Seconds of each refusal, by class, in the order in which they were asked for."""
    client = bench.Client(port)
    order = KINDS * SAMPLES
    random.shuffle(order)
    seconds = {kind: [] for kind in KINDS}
    for kind in order:
        password = crypt64(random.randint(8, 20))
        address = ".".join(str(random.randint(1, 250)) for _ in range(4))
        request = client.request("user-" + kind, password, address)
        begin = time.perf_counter()
        status, _ = client.exchange(request)
        seconds[kind].append(time.perf_counter() - begin)
        if status != 401:
            bench.fail(f"{kind} got {status}, and not 401")
    client.close()
    return seconds


def right(low, high, threshold):
    """The share that a threshold sorts rightly, of two samples of which the first is said to lie below it."""
    return (sum(x <= threshold for x in low) + sum(x > threshold for x in high)) / (len(low) + len(high))


def best_threshold(a, b):
    """The threshold between two samples that sorts most of them rightly, and whether `a` lies below it."""
    marked = sorted([(x, 1) for x in a] + [(x, -1) for x in b])
    # How many more of a than of b lie at or below each value: at the extremes, the two are apart the most.
    balance, best = 0, (0, marked[0][0], True)
    for x, mark in marked:
        balance += mark
        if abs(balance) > best[0]:
            best = (abs(balance), x, balance > 0)
    return best[1:]


def accuracy(unknown, known):
    """In percent: chosen on the first half of each sample, judged on the second."""
    half = SAMPLES // 2
    threshold, unknown_below = best_threshold(unknown[:half], known[:half])
    low, high = (unknown, known) if unknown_below else (known, unknown)
    return 100 * right(low[half:], high[half:], threshold)


def main():
    with bench.temporary_folder() as folder:
        path = os.path.join(folder, "htpasswd")
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"user-{kind}:{line()}\n" for kind, line in LINES.items())
        listed = subprocess.run([bench.DOORWARD, "check", "--htpasswd", path], capture_output=True, text=True, check=False)
        options = [*bench.UNTHROTTLED, "--cache-rejection-ttl", "0s", "--log-denials-per-second", "0"]
        with bench.Service(path, *options) as service:
            service.wait_until_ready()
            seconds = measure(service.port)
            checks = service.metrics()['hashes_total{result="refused"}']
    # "FILE: users that can log in: ..."
    print(next(text.split(": ", 1)[1] for text in listed.stdout.splitlines() if "users that can" in text))
    print(f"{SAMPLES} refusals of each class, in random order, {checks:.0f} password checks\n")
    base = statistics.median(seconds[UNKNOWN]) * 1000
    rows = []
    for kind in KINDS:
        median = statistics.median(seconds[kind]) * 1000
        if kind == UNKNOWN:
            rows.append([kind, f"{median:.3f}", "", "", ""])
            continue
        share = accuracy(seconds[UNKNOWN], seconds[kind])
        rows.append([kind, f"{median:.3f}", f"{(median - base) * 1000:+.0f}", f"{share:.1f} %",
                     "yes" if share <= TARGET else "NO"])
    bench.table(["class", "median ms", "us from unknown", "told from unknown", f"at most {TARGET:.0f} %"], rows)


main()
