"""Broken htpasswd files, while doorward runs and at its start: what its users get, what it logs, what /readyz says, and
how it recovers.

While it runs, a file that can't be used leaves the last good one in force; of one with bad lines, the good lines count.
At its start there is no last good file, so it ends with exit code 1 and says why.
"""

import os
import shutil
import subprocess
import time

import reload_service as bench

USERS = {"alice": "wonderland", "bob": "builder", "carol": "sings"}
NEW = ("dave", "arrives")
# More than the limit that doorward is started with here.
MAX_BYTES = 4096


def line(folder, name, password):
    path = os.path.join(folder, "made")
    subprocess.run([bench.DOORWARD, "user", "add", name, "--create", "--stdin", "--cost", "4", "--htpasswd", path],
                   input=password.encode(), check=True, stdout=subprocess.DEVNULL)
    with open(path, "rb") as file:
        made = file.read()
    os.remove(path)
    return made


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def remove(path):
    if os.path.isdir(path):
        os.rmdir(path)
    elif os.path.lexists(path):
        os.remove(path)


def slowly(path, data):
    """Line by line, as a program that flushes often, from an empty file on."""
    with open(path, "wb", buffering=0) as file:
        for part in data.splitlines(keepends=True):
            time.sleep(0.12)
            file.write(part)


def in_its_place(make):
    def put(path, _good):
        remove(path)
        make(path)
    return put


# A name, how the file comes to be so, the users who are then let in (of all of USERS), and whether it can start so.
CASES = [
    ("missing", lambda path, good: remove(path), set(USERS), False),
    ("a dangling link", in_its_place(lambda path: os.symlink("nowhere", path)), set(USERS), False),
    ("a directory", in_its_place(os.mkdir), set(USERS), False),
    ("a pipe", in_its_place(os.mkfifo), set(USERS), False),
    ("unreadable", lambda path, good: os.chmod(path, 0), set(USERS), False),
    ("binary", lambda path, good: write(path, bytes(range(256)) * 8), set(USERS), False),
    ("all lines bad", lambda path, good: write(path, good.replace(b"$2y$", b"$2y")), set(USERS), False),
    ("too large", lambda path, good: write(path, good + b"#" * MAX_BYTES), set(USERS), False),
    ("one line bad (bob's)", lambda path, good: write(path, good.replace(b"bob:$2y$", b"bob:$9z$")),
     set(USERS) - {"bob"}, True),
    ("cut in carol's line", lambda path, good: write(path, good[:-30]), set(USERS) - {"carol"}, True),
    ("written line by line", slowly, set(USERS), True),
    ("empty", lambda path, good: write(path, b""), set(), False),
    ("comments alone", lambda path, good: write(path, b"# nobody\n\n"), set(), False),
]


class Identity:
    """Root can read any file, so as root doorward is run as nobody."""

    def __init__(self, folder):
        self.popen = {}
        if os.geteuid() == 0:
            program = os.path.join(folder, "doorward")
            shutil.copy(bench.DOORWARD, program)
            os.chmod(program, 0o755)
            self.popen = {"user": 65534, "group": 65534, "extra_groups": []}
            self.program = program
        else:
            self.program = bench.DOORWARD


def plain(log_line):
    """A log line without its time."""
    return " ".join(log_line.split()[1:])


def answers(port):
    client = bench.Client(port)
    got = {name: client.log_in(name, password) for name, password in USERS.items()}
    client.close()
    return got


def await_answer(port, user, wanted, seconds):
    """How long until the user has that answer; None if never."""
    client, begin = bench.Client(port), time.monotonic()
    try:
        while time.monotonic() < begin + seconds:
            if client.log_in(*user) == wanted:
                return time.monotonic() - begin
            time.sleep(0.005)
        return None
    finally:
        client.close()


class Running:
    """One broken file while doorward runs."""

    def __init__(self, case, identity, folder, good, with_new):
        self.name, self.put, self.let_in, _ = case
        self.identity, self.good, self.with_new = identity, good, with_new
        self.path = os.path.join(folder, "htpasswd")

    def noticed(self, service, known, seconds):
        """Waits for the first log line about the change."""
        end = time.monotonic() + seconds
        while len(service.log) == known and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.1)     # for the lines that follow it

    def run(self):
        remove(self.path)
        write(self.path, self.good)
        options = [*bench.UNTHROTTLED, "--htpasswd-max-bytes", str(MAX_BYTES), "--log-denials-per-second", "0"]
        with bench.Service(self.path, *options, program=self.identity.program, **self.identity.popen) as service:
            service.wait_until_ready()
            time.sleep(0.05)
            client = bench.Client(service.port)
            assert client.log_in("alice", USERS["alice"]) == 200       # from now on she is cached
            client.close()
            known = len(service.log)
            self.put(self.path, self.good)
            if self.name == "written line by line":
                time.sleep(2)
            else:
                # An empty file counts after five seconds.
                self.noticed(service, known, 8)
            got, ready = answers(service.port), service.ready()
            stale = service.metrics()["htpasswd_stale"]
            said = service.log[known:]
            repaired = len(service.log)
            if not self.let_in == set(USERS) or stale or os.path.isdir(self.path):
                remove(self.path)
            bench.replace(self.path, self.with_new)
            took = await_answer(service.port, NEW, 200, 10)
            time.sleep(0.1)
            after, all_back = service.ready()[1].strip(), answers(service.port)
            said += ["repaired " + plain(text) for text in service.log[repaired:]]
        return self.row(got, ready, took, after, all_back), said

    def row(self, got, ready, took, after, all_back):
        right = {name for name, status in got.items() if status == 200} == self.let_in
        back = took is not None and after == "ready" and set(all_back.values()) == {200}
        return [self.name, " ".join(str(status) for status in got.values()), f"{ready[0]} {ready[1].strip()}",
                f"{took * 1000:.0f} ms" if took is not None else "never", "yes" if right and back else "NO"]


def at_start(case, identity, folder, good):
    name, put, let_in, starts = case
    path = os.path.join(folder, "htpasswd")
    remove(path)
    write(path, good)
    put(path, good)
    port = bench.free_port()
    command = [identity.program, "serve", "--listen", f"127.0.0.1:{port}",
               "--admin-listen", f"127.0.0.1:{bench.free_port()}", "--htpasswd", path,
               "--htpasswd-max-bytes", str(MAX_BYTES)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **identity.popen)
    try:
        code = process.wait(1.5)
        outcome, right = f"exit {code}", code == 1 and not starts
    except subprocess.TimeoutExpired:
        got = answers(port)
        outcome = "starts; " + " ".join(str(status) for status in got.values())
        right = starts and {name for name, status in got.items() if status == 200} == let_in
        process.terminate()
    errors = process.communicate(timeout=15)[1].splitlines()
    said = [text if outcome.startswith("exit") else plain(text) for text in errors]
    about = [text.replace(path, "FILE") for text in said if "FILE" in text.replace(path, "FILE")]
    return [name, outcome, "yes" if right else "NO"], about


def print_with_lines(head, rows):
    """The table, and below each row what was said."""
    bench.table(head, [row for row, _ in rows])
    print()
    for row, lines in rows:
        print(f"{row[0]}:")
        for text in lines or ["(nothing)"]:
            print(f"    {text}")
    print(flush=True)


with bench.temporary_folder() as folder:
    identity = Identity(folder)
    good = b"".join(line(folder, name, password) for name, password in USERS.items())
    with_new = good + line(folder, *NEW)
    path = os.path.join(folder, "htpasswd")

    print("WHILE IT RUNS. Answers are those of alice, who is cached, and of bob and carol, who are not; recovery is the")
    print("time from the repair, which adds a user, until that user is let in.\n")
    running = []
    for case in CASES:
        row, said = Running(case, identity, folder, good, with_new).run()
        lines = [plain(text) if not text.startswith("repaired") else text for text in said]
        running.append((row, [text.replace(path, "FILE") for text in lines]))
    print_with_lines(["file", "answers", "/readyz", "recovery", "as intended"], running)

    print("AT ITS START\n")
    print_with_lines(["file", "what happens", "as intended"],
                     [at_start(case, identity, folder, good) for case in CASES])
