"""What the benchmarks in Python share: a doorward of their own, one connection to it, and a steady load.

Everything listens on loopback, on free ports, with its files in a temporary folder, and is stopped by its process id.
Only Python's standard library is needed.

    DOORWARD=FILE   the doorward to measure, instead of target/release/doorward
"""

import base64
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DOORWARD = os.environ.get("DOORWARD") or os.path.join(os.path.dirname(HERE), "target", "release", "doorward")
taken = set()

# Limits so high that a benchmark's wrong passwords are never throttled.
UNTHROTTLED = ["--throttle-user-failures", "1000000", "--throttle-network-failures", "1000000"]


def fail(what):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {what}")


@contextlib.contextmanager
def temporary_folder():
    """A folder that others may pass through, since some benchmarks run doorward as somebody else."""
    # SIGTERM ends the program by way of every `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not os.access(DOORWARD, os.X_OK):
        fail(f"there is no {DOORWARD}; build it with `cargo build --release`")
    with tempfile.TemporaryDirectory(prefix="doorward-bench.") as folder:
        os.chmod(folder, 0o755)
        yield folder


def free_port():
    """Below the range from which the kernel takes the ports of outgoing connections."""
    for port in random.sample(range(20000, 32000), 200):
        with socket.socket() as probe:
            if port not in taken and probe.connect_ex(("127.0.0.1", port)) != 0:
                taken.add(port)
                return port
    fail("there is no free port between 20000 and 32000")


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Client:
    """One connection that is kept. A socket and no HTTP library: less of what is timed is the client's own."""

    def __init__(self, port):
        self.port = port
        self.socket = None
        self.rest = b""

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=15)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def exchange(self, request):
        """Sends the bytes of one request; the answer's status and body. OSError if there is none."""
        if self.socket is None:
            self.connect()
        try:
            self.socket.sendall(request)
            while b"\r\n\r\n" not in self.rest:
                self.more()
            head, _, body = self.rest.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            wanted = int(length[1]) if length else 0
            while len(body) < wanted:
                self.rest = b""
                self.more()
                body += self.rest
            self.rest = body[wanted:]
            return int(head[9:12]), body[:wanted].decode()
        except OSError:
            self.close()
            raise

    def more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed")
        self.rest += data

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def get(self, path):
        return self.exchange(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    @staticmethod
    def request(user, password, address="192.0.2.1"):
        return (f"GET /auth HTTP/1.1\r\nHost: localhost\r\nAuthorization: {basic(user, password)}\r\n"
                f"X-Real-IP: {address}\r\n\r\n").encode()

    def log_in(self, user, password, address="192.0.2.1"):
        return self.exchange(self.request(user, password, address))[0]


class Service:
    """A doorward that reads `htpasswd`. Its log lines are in `log`; `told` is called with each as it comes."""

    def __init__(self, htpasswd, *options, told=lambda line: None, **popen):
        self.port, self.admin = free_port(), free_port()
        self.log, self.told = [], told
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            [popen.pop("program", DOORWARD), "serve", "--listen", f"127.0.0.1:{self.port}", "--admin-listen",
             f"127.0.0.1:{self.admin}", "--htpasswd", htpasswd, *options],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **popen)
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        self.monitor = Client(self.admin)

    def read_log(self):
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))
            self.told(self.log[-1])

    def wait_until_ready(self):
        """The seconds from the start to the first 200 of /readyz."""
        while time.monotonic() < self.begin + 60:
            with contextlib.suppress(OSError):
                if self.ready()[0] == 200:
                    return time.monotonic() - self.begin
            if self.process.poll() is not None:
                self.reader.join()
                fail("doorward has ended:\n" + "\n".join(self.log))
            time.sleep(0.001)
        fail("doorward is not ready after 60 s")

    def ready(self):
        client = Client(self.admin)
        try:
            return client.get("/readyz")
        finally:
            client.close()

    def metrics(self):
        """Every figure by its name, with its labels as they are written."""
        lines = self.monitor.get("/metrics")[1].splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name.removeprefix("doorward_"): float(value) for name, value in pairs}

    def accepted_hashes(self):
        return self.metrics().get('hashes_total{result="accepted"}', 0)

    def memory(self, field):
        """VmRSS or VmHWM, in MiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(rf"{field}:\s+(\d+)", status.read())[1]) / 1024

    def stop(self):
        self.monitor.close()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(5)
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Load:
    """Requests at a steady pace from a process of its own, so that this one's clock is not disturbed.

    `askers` are (label, user, password), each with a connection; `end` gives for each label how often it had which
    status, and the longest answer in milliseconds."""

    def __init__(self, port, askers, per_second):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "reload_load.py"), str(port), str(per_second), json.dumps(askers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def end(self):
        out, _ = self.process.communicate()
        return json.loads(out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def replace(path, data):
    """Writes beside it and renames over it, keeping mode and owner of nothing: the folder is the benchmark's."""
    new = path + ".new"
    with open(new, "wb") as file:
        file.write(data)
    os.rename(new, path)


def table(head, rows):
    """Prints rows of texts under a head, as wide as they need to be."""
    widths = [max(len(str(row[at])) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip(), flush=True)
