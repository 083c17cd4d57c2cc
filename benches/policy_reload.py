"""A policy and a group file that are edited under steady load.

Each edit moves rights between the repositories `one` and `two`, and each right needs both ends of the file: ann's pull
stands at its beginning and her push at its end, bea is granted both at the beginning and denied one at the end. So by half of
a policy, or by half of an old one and half of a new one, ann could push to neither and bea to both. Every asker asks for
both, twice, one after the other, and in these four answers the policy may change once. There is also bob, who may never do either, somebody with a
wrong password, and nobody.

The files are edited in two ways, in turn: another file is renamed over it; and it is emptied and written in two halves 0.1 s
apart, of which the first is a good policy by itself.

    EDITS=20   times that each file is changed, there and back counting as two
"""

import os
import random
import statistics
import subprocess
import sys
import threading
import time

import reload_service as bench

EDITS = int(os.environ.get("EDITS", "20"))
USERS = [("ann", "wonderland"), ("bea", "honey"), ("bob", "builder")]
WORST = 2.0     # seconds, the promise


def policy(allowed, denied):
    """Long enough that it takes a while to read."""
    filler = "".join(f'[[grant]]\nusers = ["user{n}"]\nrepositories = ["team{n}/**"]\nactions = ["pull"]\n\n' for n in range(2000))
    return (f'[[grant]]\nusers = ["ann"]\nrepositories = ["{allowed}/**"]\nactions = ["pull"]\n\n'
            f'[[grant]]\nusers = ["bea"]\nrepositories = ["one/**", "two/**"]\nactions = ["pull", "push"]\n\n{filler}'
            f'[[grant]]\ngroups = ["devs"]\nrepositories = ["devs/**"]\nactions = ["pull", "push"]\n\n'
            f'[[grant]]\nusers = ["ann"]\nrepositories = ["{allowed}/**"]\nactions = ["push"]\n\n'
            f'[[deny]]\nusers = ["bea"]\nrepositories = ["{denied}/**"]\n').encode()


def write_halves(path, text):
    """As an editor would that is interrupted; between two rules, or in the middle of a line of groups."""
    middle = text.find(b"[[", len(text) // 2)
    middle = middle if middle > 0 else len(text) // 2
    with open(path, "wb", buffering=0) as file:
        for half in (text[:middle], text[middle:]):
            time.sleep(0.1)
            file.write(half)


def question(user, password, repository, address):
    login = f"Authorization: {bench.basic(user, password)}\r\n" if user else ""
    return (f"GET /auth HTTP/1.1\r\nHost: localhost\r\n{login}X-Real-IP: {address}\r\nX-Original-Method: PUT\r\n"
            f"X-Original-URI: /v2/{repository}/app/manifests/v1\r\nX-Original-Host: registry.test\r\n"
            f"X-Original-Content-Type: ct:\r\nX-Auth-Rewrite: yes\r\n\r\n").encode()


def runs(*policies):
    """Every run of four answers, to `one`, `two`, `one` and `two`, in which the policy changes once at the most."""
    pairs = [(old, new) for old in policies for new in policies]
    return {(old * 2)[:at] + (new * 2)[at:] for old, new in pairs for at in range(5)}


ONE, TWO = ("200", "403"), ("403", "200")
CHANGING, DENIED, CHALLENGED = runs(ONE, TWO), runs(("403", "403")), runs(("401", "401"))


class Asker(threading.Thread):
    """Asks for `one` and for `two`, and again, and counts what came of it. Two edits are further apart than that takes."""

    def __init__(self, port, user, password, number, expected):
        super().__init__(daemon=True)
        self.client, self.counts, self.longest = bench.Client(port), {}, 0.0
        self.begun, self.end = threading.Event(), threading.Event()
        self.requests = [question(user, password, name, f"198.51.100.{number}") for name in ("one", "two")] * 2
        self.expected, self.wrong = expected, 0

    def ask(self, request):
        begin = time.monotonic()
        try:
            return str(self.client.exchange(request)[0])
        except OSError:
            return "error"
        finally:
            self.longest = max(self.longest, time.monotonic() - begin)

    def run(self):
        self.ask(self.requests[0])      # needs a password check, and is none of the load
        self.longest = 0.0
        self.begun.set()
        while not self.end.wait(0.005):
            answers = tuple(self.ask(request) for request in self.requests)
            self.wrong += answers not in self.expected
            name = "/".join(answers[:2]) if answers[:2] == answers[2:] else "changing"
            self.counts[name] = self.counts.get(name, 0) + 1


def until(client, request, status, limit=10):
    begin = time.monotonic()
    while time.monotonic() < begin + limit:
        if client.exchange(request)[0] == status:
            return time.monotonic() - begin
        time.sleep(0.002)
    return None


def load(port):
    """Who asks all the time, and what may come of it."""
    people = [("ann", *USERS[0], CHANGING), ("bea", *USERS[1], CHANGING), ("bob, who may not", *USERS[2], DENIED),
              ("a wrong password", "ann", "x", CHALLENGED), ("nobody", None, None, CHALLENGED)]
    return {label: Asker(port, user, password, at + 1, expected) for at, (label, user, password, expected) in enumerate(people)}


def edit(service, path, put, request, probes):
    """Times `put(step)` until `probes[step]` is answered, EDITS times; the seconds, and how many never came."""
    client, seconds = bench.Client(service.port), []
    for step in range(EDITS):
        time.sleep(0.5 + random.random())   # at any moment between two looks at the file
        write = bench.replace if step // 2 % 2 == 0 else write_halves
        write(path, put(step % 2))
        seconds.append(until(client, request, probes[step % 2]))
    client.close()
    return [s for s in seconds if s is not None], seconds.count(None)


def htpasswd(folder):
    path = os.path.join(folder, "htpasswd")
    for name, password in USERS:
        subprocess.run([bench.DOORWARD, "user", "add", name, "--create", "--stdin", "--cost", "4", "--htpasswd", path],
                       input=password.encode(), check=True, stdout=subprocess.DEVNULL)
    return path


def main():
    with bench.temporary_folder() as folder:
        rules, groups = os.path.join(folder, "policy.toml"), os.path.join(folder, "groups")
        bench.replace(rules, policy("one", "two"))
        bench.replace(groups, b"devs: bob\n")
        options = ["--policy", rules, "--groups", groups, *bench.UNTHROTTLED, "--cache-rejection-ttl", "1h"]
        with bench.Service(htpasswd(folder), *options) as service:
            service.wait_until_ready()
            askers = load(service.port)
            for asker in askers.values():
                asker.start()
            for asker in askers.values():
                asker.begun.wait(60)
            client = bench.Client(service.port)
            push = question(*USERS[0], "two", "203.0.113.1")
            member = question(*USERS[2], "devs", "203.0.113.1")
            assert client.exchange(push)[0] == 403 and client.exchange(member)[0] == 200
            client.close()
            before = service.accepted_hashes()
            swapped = edit(service, rules, lambda n: policy(*(("two", "one") if n == 0 else ("one", "two"))), push, [200, 403])
            moved = edit(service, groups, lambda n: b"devs: somebody\n" if n == 0 else b"devs: bob\n", member, [403, 200])
            new = service.accepted_hashes() - before
            for asker in askers.values():
                asker.end.set()
                asker.join(20)
            reloads = [name for name in service.log if "reloaded" in name]
            return report(askers, swapped, moved, new, len(reloads))


def report(askers, swapped, moved, new, reloads):
    bad, rows = 0, []
    for label, asker in askers.items():
        bad += asker.wrong
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(asker.counts.items()))
        rows.append([label, 4 * sum(asker.counts.values()), asker.wrong, f"{asker.longest * 1000:.0f}", counts])
    bench.table(["who", "requests", "wrong runs", "longest ms", "runs of four, by the answers to one/two"], rows)
    print()
    rows, late = [], 0
    for label, (seconds, never) in (("policy: two rights swapped", swapped), ("groups: bob out, and in again", moved)):
        late += never + sum(s > WORST for s in seconds)
        rows.append([label, EDITS, f"{statistics.median(seconds) * 1000:.0f}", f"{max(seconds) * 1000:.0f}", never])
    bench.table(["edit", "times", "median ms", "worst ms", "never"], rows)
    print(f"\nreloads logged: {reloads}; new hashes of right passwords: {new:.0f}; wrong answers: {bad}; later than "
          f"{WORST:.0f} s: {late}. The last three have 0 as their target.")
    return 1 if bad or late or new else 0


sys.exit(main())
