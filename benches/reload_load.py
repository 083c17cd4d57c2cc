"""A steady load for the benchmarks in Python: reload_load.py PORT PER_SECOND ASKERS

ASKERS is JSON: a list of [label, user, password], each of which asks over a connection of its own, PER_SECOND times a
second, until stdin is closed. Prints a line when all have had an answer, and in the end, as JSON and for each label, how
often which status came ("error" for no answer at all) and the longest wait in milliseconds.
"""

import json
import sys
import threading
import time

from reload_service import Client

port, per_second, askers = int(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])
end = threading.Event()
results = {label: {"longest_ms": 0.0} for label, _, _ in askers}
lock = threading.Lock()
first = threading.Barrier(len(askers) + 1)


def ask(label, user, password, address):
    client, counts, longest = Client(port), {}, 0.0
    request, due = Client.request(user, password, address), time.monotonic()
    waits = True
    while not end.is_set():
        begin = time.monotonic()
        try:
            status = str(client.exchange(request)[0])
        except OSError:
            status = "error"
        took = time.monotonic() - begin
        if waits:
            # The first answer needs a password check, and is none of the load.
            waits = False
            first.wait()
            due = time.monotonic()
        else:
            counts[status] = counts.get(status, 0) + 1
            longest = max(longest, took * 1000)
        due = max(due + 1 / per_second, time.monotonic() - 0.1)
        time.sleep(max(0.0, due - time.monotonic()))
    with lock:
        result = results[label]
        result["longest_ms"] = max(result["longest_ms"], longest)
        for status, count in counts.items():
            result[status] = result.get(status, 0) + count


threads = [threading.Thread(target=ask, args=(*asker, f"198.51.100.{at + 1}")) for at, asker in enumerate(askers)]
for thread in threads:
    thread.start()
first.wait()
print("started", flush=True)
sys.stdin.read()
end.set()
for thread in threads:
    thread.join()
print(json.dumps(results))
