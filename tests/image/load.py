#!/usr/bin/env python3
"""Sends requests to /v2/ of a registry continuously, with correct and wrong credentials, until standard input ends.

    load.py URL USER:PASSWORD PROGRESS

Each error is printed on standard output at once. A 2xx for wrong credentials is an error. For the correct ones, only a 200,
or a 503 with the JSON of a registry, is not an error. The file PROGRESS always contains the number of responses, and the
longest time without a 200 for the correct credentials.
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
# Always the same few credentials. The throttle counts different wrong passwords, and is not tested here.
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


def is_expected(right, status, body):
    if not right:
        return not 200 <= status < 300
    if status == 503:
        try:
            return bool(json.loads(body)["errors"])
        except (ValueError, KeyError, TypeError):
            return False
    return status == 200


def send_requests(credential, right):
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
        if not is_expected(right, status, body):
            print("right" if right else "wrong", status, body, flush=True)
        # Frequent enough for each phase of a restart, without using the whole machine.
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


threads = [threading.Thread(target=send_requests, args=(sys.argv[2], True)) for _ in range(THREADS_RIGHT)]
threads += [threading.Thread(target=send_requests, args=(wrong, False)) for wrong in WRONG]
threads.append(threading.Thread(target=progress))
for thread in threads:
    thread.start()
sys.stdin.read()
done.set()
for thread in threads:
    thread.join()
