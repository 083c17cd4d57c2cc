#!/usr/bin/env python3
"""Asks a registry's /v2/ without a pause, with right and with wrong credentials, until standard input ends.

    load.py URL USER:PASSWORD PROGRESS

What must never be is told on standard output, as it happens: a 2xx for a wrong credential, and for the right one
anything but a 200 or a 503 whose body is the registry's JSON. The file PROGRESS holds, at any time, the answers so far
and the longest time in which the right one got no 200.
"""

import base64
import collections
import http.client
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse

URL = urllib.parse.urlsplit(sys.argv[1])
# Few, and the same all the time: the throttle counts different wrong passwords, and is not what is looked at here.
WRONG = [sys.argv[2].split(":")[0] + ":wrong", "nobody:wrong", ":", None]
THREADS_RIGHT = 4

lock = threading.Lock()
answers = collections.Counter()
last_good = [time.monotonic()]
longest = [0.0]
done = threading.Event()


def header(credential):
    return {} if credential is None else {"Authorization": "Basic " + base64.b64encode(credential.encode()).decode()}


def connect():
    if URL.scheme == "https":
        return http.client.HTTPSConnection(URL.netloc, timeout=20, context=ssl._create_unverified_context())
    return http.client.HTTPConnection(URL.netloc, timeout=20)


def as_it_should(right, status, body):
    if not right:
        return not 200 <= status < 300
    if status == 503:
        try:
            return bool(json.loads(body)["errors"])
        except (ValueError, KeyError, TypeError):
            return False
    return status == 200


def ask(credential, right):
    connection = connect()
    while not done.is_set():
        try:
            connection.request("GET", "/v2/", headers=header(credential))
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            connection = connect()
            status, body = 0, repr(error)
        with lock:
            answers["right" if right else "wrong", status] += 1
            if right and status == 200:
                longest[0] = max(longest[0], time.monotonic() - last_good[0])
                last_good[0] = time.monotonic()
        if not as_it_should(right, status, body):
            print("right" if right else "wrong", status, body, flush=True)
        # Load enough to meet every moment of a restart, and no more than leaves the machine some room.
        time.sleep(0.005)


def progress():
    while not done.is_set():
        with lock:
            text = json.dumps({f"{kind} {status}": n for (kind, status), n in sorted(answers.items())})
            text += f" longest without a 200: {longest[0]:.2f} s\n"
        with open(sys.argv[3] + ".new", "w") as file:
            file.write(text)
        os.replace(sys.argv[3] + ".new", sys.argv[3])
        time.sleep(0.1)


threads = [threading.Thread(target=ask, args=(sys.argv[2], True)) for _ in range(THREADS_RIGHT)]
threads += [threading.Thread(target=ask, args=(wrong, False)) for wrong in WRONG]
threads.append(threading.Thread(target=progress))
for thread in threads:
    thread.start()
sys.stdin.read()
done.set()
for thread in threads:
    thread.join()
