#!/usr/bin/env python3
"""Can the id of a key that there is be told from one that there is not, by the time of the refusal?

A file has a hundred thousand keys. Classes of bad keys get the same number of refusals in random order over one connection,
each key but the one id of its class new: an unknown id; a known id with another secret, with and without a scope; one that
has expired and one whose line is damaged, with another secret; and by the bye a mistyped key, which may be told, since its
checksum is no secret. For each class the threshold that tells it best from the unknown one is chosen on one half of the
sample and judged on the other half: 50 % right is guessing, and 55 % is the target.

    SAMPLES=5000   refusals of each class; at least 1,000
    KEYS=100000    keys of the file
"""

import os
import random
import statistics
import time

import key_file
import reload_service as bench

SAMPLES = max(1000, int(os.environ.get("SAMPLES", "5000")))
KEYS = int(os.environ.get("KEYS", "100000"))
TARGET = 55.0
UNKNOWN = "unknown id"
MISTYPED = "mistyped"


def request(key, bearer):
    value = f"Bearer {key}" if bearer else bench.basic("alice", key)
    return (f"GET /auth HTTP/1.1\r\nHost: localhost\r\nAuthorization: {value}\r\n"
            "X-Real-IP: 192.0.2.1\r\n\r\n").encode()


def measure(port, classes, bearer):
    """Seconds of each refusal, by class."""
    client = bench.Client(port)
    order = list(classes) * SAMPLES
    random.shuffle(order)
    seconds = {kind: [] for kind in classes}
    for kind in order:
        wire = request(classes[kind](), bearer)
        begin = time.perf_counter()
        status, _ = client.exchange(wire)
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


def report(how, seconds):
    base = statistics.median(seconds[UNKNOWN]) * 1e6
    rows = []
    for kind, sample in seconds.items():
        median = statistics.median(sample) * 1e6
        if kind == UNKNOWN:
            rows.append([kind, f"{median:.2f}", "", "", ""])
            continue
        share = accuracy(seconds[UNKNOWN], sample)
        verdict = "of no matter" if kind == MISTYPED else "yes" if share <= TARGET else "NO"
        rows.append([kind, f"{median:.2f}", f"{median - base:+.2f}", f"{share:.1f} %", verdict])
    print(f"\n{how}:")
    bench.table(["class", "median us", "us from unknown", "told from unknown", f"at most {TARGET:.0f} %"], rows)


def main():
    with bench.temporary_folder() as folder:
        htpasswd, path = os.path.join(folder, "htpasswd"), os.path.join(folder, "keys")
        with open(htpasswd, "w", encoding="ascii") as file:
            file.write("alice:$2y$04$......................" + "." * 31 + "\n")
        plain, scoped = key_file.many(path, KEYS - 2, "alice")
        over, damaged = key_file.new(), key_file.new()
        with open(path, encoding="ascii") as file:
            lines = file.readlines()
        lines += [key_file.line(over, "alice", "over", expires="2020-01-01T00:00:00Z"),
                  key_file.line(damaged, "alice", "damaged", expire="2099-01-01T00:00:00Z")]
        key_file.write(path, lines)
        known = {"known id, another secret": plain, "the same with a scope": scoped, "the same, expired": over,
                 "the same, a damaged line": damaged}
        classes = {UNKNOWN: key_file.new, MISTYPED: lambda: key_file.new()[:-1] + "-"}
        for kind, key in known.items():
            classes[kind] = lambda key_id=key_file.id_of(key): key_file.new(key_id)
        options = [*bench.UNTHROTTLED, "--log-denials-per-second", "0", "--api-keys", path, "--api-keys-owners", "any"]
        with bench.Service(htpasswd, *options) as service:
            service.wait_until_ready()
            print(f"{SAMPLES} refusals of each class, in random order, beside {KEYS} keys")
            for bearer in (False, True):
                how = "As a bearer" if bearer else "As alice's password"
                report(how, measure(service.port, classes, bearer))


main()
