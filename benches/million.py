"""An htpasswd file of a million lines: load, memory, a reload with ten lines changed under load, and what a cached answer
costs beside one from a file of ten lines.

    LINES=1000000   lines of the large file
    STARTS=5        starts to take the median of
    RELOADS=6       times that the ten lines are changed, or changed back
    ROUNDS=5        rounds of wrk, in turn with the large and the small file
"""

import base64
import os
import random
import re
import statistics
import subprocess
import time

import reload_service as bench

LINES = int(os.environ.get("LINES", "1000000"))
STARTS = int(os.environ.get("STARTS", "5"))
RELOADS = int(os.environ.get("RELOADS", "6"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
ROUND_SECONDS = 2
STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
BCRYPT = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
OLD, NEW = "wonderland", "looking-glass"
STAYING = [f"stays{n}" for n in range(4)]
# What becomes of the ten lines: four with another password, three removed, three added.
CHANGED, REMOVED, ADDED = ([f"{what}{n}" for n in range(count)]
                           for what, count in (("changes", 4), ("goes", 3), ("comes", 3)))


def hash_of(folder, password):
    """A cheap hash, from the doorward at hand."""
    path = os.path.join(folder, "made")
    subprocess.run([bench.DOORWARD, "user", "add", "x", "--create", "--stdin", "--cost", "4", "--htpasswd", path],
                   input=password.encode(), check=True, stdout=subprocess.DEVNULL)
    with open(path, "rb") as file:
        made = file.read().strip().split(b":")[1]
    os.remove(path)
    return made


def nobodys_lines(count):
    """Lines with hashes of no password, of the shape that bcrypt gives them: 22 characters and 31, the last of each with
    fewer bits."""
    text = base64.b64encode(os.urandom(39 * count)).translate(bytes.maketrans(STANDARD, BCRYPT))
    return [b"user%07d:$2y$04$%b.%b.\n" % (n, text[52 * n:52 * n + 21], text[52 * n + 21:52 * n + 51])
            for n in range(count)]


def with_known(lines, hashes, changed):
    """The lines, with those of the known users spread among them."""
    old, new = hashes
    known = [(name, old) for name in STAYING]
    known += [(name, new if changed else old) for name in CHANGED]
    known += [(name, old) for name in (ADDED if changed else REMOVED)]
    lines = list(lines)
    for at, (name, made) in enumerate(known):
        lines.insert((at + 1) * len(lines) // (len(known) + 1), name.encode() + b":" + made + b"\n")
    return b"".join(lines)


def expected(changed):
    """What each of the changed users gets with each password."""
    wanted = [(name, NEW if changed else OLD, 200) for name in CHANGED]
    wanted += [(name, OLD if changed else NEW, 401) for name in CHANGED]
    wanted += [(name, OLD, 401 if changed else 200) for name in REMOVED]
    return wanted + [(name, OLD, 200 if changed else 401) for name in ADDED]


def starts(path):
    """Of several starts: seconds until ready, resident memory once idle, and the most there was, in MiB."""
    ready, resident, peak = [], [], []
    for _ in range(STARTS):
        with bench.Service(path) as service:
            ready.append(service.wait_until_ready())
            time.sleep(0.5)
            resident.append(service.memory("VmRSS"))
            peak.append(service.memory("VmHWM"))
    return [statistics.median(values) for values in (ready, resident, peak)]


def reload_under_load(path, texts):
    """Changes the ten lines back and forth. The seconds to effect of each change, wrong answers about the ten after that,
    what the load got, and the memory afterwards."""
    askers = [("valid", name, OLD) for name in STAYING]
    askers += [("wrong", STAYING[0], "not it"), ("unknown", "nobody", OLD)]
    effects, wrong = [], 0
    with bench.Service(path, *bench.UNTHROTTLED, "--log-denials-per-second", "0") as service:
        service.wait_until_ready()
        client = bench.Client(service.port)
        with bench.Load(service.port, askers, 200) as load:
            for number in range(RELOADS):
                changed = number % 2 == 0
                time.sleep(1 + random.random())
                bench.replace(path, texts[changed])
                begin = time.monotonic()
                wanted = 401 if changed else 200
                while client.log_in(REMOVED[0], OLD) != wanted:
                    if time.monotonic() > begin + 30:
                        bench.fail("the change did not come into force in 30 s")
                    time.sleep(0.005)
                effects.append(time.monotonic() - begin)
                wrong += sum(client.log_in(name, password) != status for name, password, status in expected(changed))
            answers = load.end()
        client.close()
        time.sleep(0.5)
        return effects, wrong, answers, service.memory("VmRSS"), service.memory("VmHWM")


def requests_per_second(port, *headers):
    command = ["wrk", "-t1", "-c16", f"-d{ROUND_SECONDS}s", "-H", "Authorization: " + bench.basic(STAYING[0], OLD)]
    for header in headers:
        command += ["-H", header]
    out = subprocess.run([*command, f"http://127.0.0.1:{port}/auth"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        bench.fail("wrk got answers other than 200:\n" + out)
    return float(re.search(r"Requests/sec: +([\d.]+)", out)[1])


def hits(large, small):
    """For the short way (an address in X-Real-IP, as nginx sends it) and the long one: requests/s of cached answers with
    each file, medians of interleaved rounds, and the ratio of the two."""
    rows = []
    with bench.Service(large) as many, bench.Service(small) as few:
        for service in (many, few):
            service.wait_until_ready()
            requests_per_second(service.port)
        ways = (("as nginx asks", ["X-Real-IP: 192.0.2.1"]), ("without X-Real-IP: the file is asked each time", []))
        for name, headers in ways:
            rates = {service.port: [] for service in (many, few)}
            for number in range(ROUNDS):
                for service in (many, few) if number % 2 else (few, many):
                    rates[service.port].append(requests_per_second(service.port, *headers))
            of_many, of_few = (statistics.median(rates[service.port]) for service in (many, few))
            rows.append((name, of_many, of_few))
    return rows


def report_reload(effects, wrong, answers):
    print(f"\nReload with ten lines changed, {RELOADS} times, {len(STAYING) + 2} connections asking meanwhile")
    milliseconds = [effect * 1000 for effect in effects]
    rows = [["time to effect, median and worst", f"{statistics.median(milliseconds):.0f} {max(milliseconds):.0f} ms", ""],
            ["wrong answers about the ten, once in force", str(wrong), "0"]]
    for label, right in (("valid", "200"), ("wrong", "401"), ("unknown", "401")):
        counts = dict(answers[label])
        longest = counts.pop("longest_ms")
        every = sum(counts.values())
        rows.append([f"{label} credentials: answers other than {right}", f"{every - counts.get(right, 0)} of {every}", "0"])
        rows.append(["  longest answer", f"{longest:.1f} ms", ""])
    bench.table(["what", "figure", "target"], rows)


def main():
    with bench.temporary_folder() as folder:
        hashes = hash_of(folder, OLD), hash_of(folder, NEW)
        lines = nobodys_lines(LINES - len(STAYING + CHANGED + REMOVED))
        texts = {changed: with_known(lines, hashes, changed) for changed in (False, True)}
        del lines
        large, small = os.path.join(folder, "large"), os.path.join(folder, "small")
        bench.replace(large, texts[False])
        ten = (STAYING + CHANGED + REMOVED)[:10]
        bench.replace(small, b"".join(name.encode() + b":" + hashes[0] + b"\n" for name in ten))

        print(f"A file of {LINES} lines, {len(texts[False]) / 1e6:.0f} MB")
        ready, resident, peak = starts(large)
        ready_small, resident_small, _ = starts(small)
        bench.table(["what", "figure", "target"], [
            [f"start to ready, median of {STARTS}", f"{ready * 1000:.0f} ms", "1000 ms"],
            ["  with ten lines", f"{ready_small * 1000:.0f} ms", "30 ms"],
            ["resident memory after the start", f"{resident:.0f} MiB", "200 MiB"],
            ["  most there was", f"{peak:.0f} MiB", ""],
            ["  with ten lines", f"{resident_small:.0f} MiB", ""],
        ])
        effects, wrong, answers, resident, peak = reload_under_load(large, texts)
        report_reload(effects, wrong, answers)
        print(f"resident memory afterwards {resident:.0f} MiB, most there was {peak:.0f} MiB")

        bench.replace(large, texts[False])
        texts.clear()
        print(f"\nCached answers, requests/s, medians of {ROUNDS} interleaved rounds of {ROUND_SECONDS} s")
        rows = [[name, f"{many:.0f}", f"{few:.0f}", f"{few / many:.2f}"] for name, many, few in hits(large, small)]
        bench.table(["", f"{LINES} lines", "10 lines", "cost against ten lines"], rows)


main()
