"""Each way of changing the htpasswd file, under steady load.

A user, the victim, is removed and put back; between the end of the change and the first right answer lies the time to
effect. Meanwhile three other users, whose answers are cached, must get nothing but 200 and need no new hash; and from
the moment that the reload is reported, in the log or in the metrics, the victim must get the right answer.

    CHANGES=20   times that the victim is removed, and put back, in each way
"""

import os
import random
import signal
import statistics
import subprocess
import time

import reload_service as bench

CHANGES = int(os.environ.get("CHANGES", "20"))
OTHERS = [("alice", "wonderland"), ("bob", "builder"), ("carol", "sings")]
VICTIM = ("victim", "removed")


def hashes():
    """The lines of the users, made by the doorward at hand, and one of the victim with another password."""
    def add(folder, name, password):
        path = os.path.join(folder, "made")
        subprocess.run([bench.DOORWARD, "user", "add", name, "--create", "--stdin", "--cost", "4", "--htpasswd", path],
                       input=password.encode(), check=True, stdout=subprocess.DEVNULL)
        with open(path, "rb") as file:
            line = file.read().splitlines()[-1] + b"\n"
        os.remove(path)
        return line
    with bench.temporary_folder() as folder:
        others = b"".join(add(folder, *user) for user in OTHERS)
        return b"# team\n" + others, add(folder, *VICTIM), add(folder, VICTIM[0], "another")


class Way:
    """One way of changing the file. `put(gone)` removes the victim or puts it back."""
    options = ()
    # Good answers that have to be checked anew at each return of the victim.
    hashes = 0

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "htpasswd")
        self.prepare()

    def text(self, gone):
        return OTHER_LINES if gone else OTHER_LINES + VICTIM_LINE

    def prepare(self):
        with open(self.path, "wb") as file:
            file.write(self.text(False))

    def finish(self):
        pass


class Rename(Way):
    name = "another file renamed over it"

    def put(self, gone):
        bench.replace(self.path, self.text(gone))


class InPlace(Way):
    name = "edited in place"

    def write(self, path, gone):
        # Over the old bytes, with the rest cut off afterwards: there is no moment without content.
        with open(path, "r+b", buffering=0) as file:
            file.write(self.text(gone))
            file.truncate()

    def put(self, gone):
        self.write(self.path, gone)


class TruncateWrite(Way):
    name = "emptied, written in two halves 0.1 s apart"

    def put(self, gone):
        text = self.text(gone)
        with open(self.path, "wb", buffering=0) as file:
            for half in (text[:len(text) // 2], text[len(text) // 2:]):
                time.sleep(0.1)
                file.write(half)


class SameStamp(Way):
    name = "another hash in place, same size, old time"

    def text(self, gone):
        return OTHER_LINES + (OTHER_PASSWORD_LINE if gone else VICTIM_LINE)

    def put(self, gone):
        before = os.stat(self.path)
        with open(self.path, "r+b", buffering=0) as file:
            file.write(self.text(gone))
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))


class ConfigMap(Way):
    name = "Kubernetes: the link ..data is swapped"

    def prepare(self):
        self.number = 0
        self.put(False)
        os.symlink("..data/htpasswd", self.path)

    def put(self, gone):
        old, self.number = f"..{self.number}", self.number + 1
        version = os.path.join(self.folder, f"..{self.number}")
        os.mkdir(version)
        with open(os.path.join(version, "htpasswd"), "wb") as file:
            file.write(self.text(gone))
        os.symlink(os.path.basename(version), os.path.join(self.folder, "..data_tmp"))
        os.rename(os.path.join(self.folder, "..data_tmp"), os.path.join(self.folder, "..data"))
        if self.number > 1:
            os.remove(os.path.join(self.folder, old, "htpasswd"))
            os.rmdir(os.path.join(self.folder, old))


class Sed(Way):
    name = "sed -i"

    def put(self, gone):
        edit = "/^victim:/d" if gone else "$a\\" + VICTIM_LINE.decode().strip()
        subprocess.run(["sed", "-i", edit, self.path], check=True)


class User(Way):
    name = "doorward user remove, add"
    hashes = 1

    def put(self, gone):
        what = ["remove", VICTIM[0]] if gone else ["add", VICTIM[0], "--stdin", "--cost", "4"]
        subprocess.run([bench.DOORWARD, "user", *what, "--htpasswd", self.path], input=VICTIM[1].encode(), check=True,
                       stdout=subprocess.DEVNULL)


class Hangup(InPlace):
    name = "edited in place and SIGHUP, no polling"
    options = ("--reload-poll-interval", "1h")

    def put(self, gone):
        super().put(gone)
        os.kill(self.service.process.pid, signal.SIGHUP)


class Mounted(InPlace):
    name = "mounted as a single file, edited in place"

    def prepare(self):
        self.source = os.path.join(self.folder, "source")
        for path in (self.source, self.path):
            with open(path, "wb") as file:
                file.write(self.text(False))
        subprocess.run(["mount", "--bind", self.source, self.path], check=True, stderr=subprocess.DEVNULL)

    def put(self, gone):
        self.write(self.source, gone)

    def finish(self):
        subprocess.run(["umount", self.path], check=False)


class Trial:
    """One way, CHANGES times."""

    def __init__(self, way):
        self.way, self.wanted = way, 200
        self.removed, self.returned = [], []
        self.reported = self.wrong_after_report = self.reloads = 0
        self.messenger = None

    def told(self, line):
        """Called as soon as a line of the log was read."""
        if "htpasswd file reloaded" in line:
            self.reported += 1
            self.wrong_after_report += self.messenger.log_in(*VICTIM) != self.wanted

    def change(self, service, prober, gone):
        # At any moment between two looks at the file.
        time.sleep(random.random())
        self.wanted = 401 if gone else 200
        before = service.metrics()["htpasswd_reloads_total"]
        self.way.put(gone)
        begin = time.monotonic()
        while time.monotonic() < begin + 10:
            reported = service.metrics()["htpasswd_reloads_total"] > before
            status = prober.log_in(*VICTIM)
            if status == self.wanted:
                (self.removed if gone else self.returned).append(time.monotonic() - begin)
                break
            self.wrong_after_report += reported
            time.sleep(0.003)
        # The log line comes a moment after the users are in force.
        while self.reported == self.reloads and time.monotonic() < begin + 10:
            time.sleep(0.001)
        self.reloads = self.reported

    def run(self):
        options = [*bench.UNTHROTTLED, *self.way.options]
        with bench.Service(self.way.path, *options, told=self.told) as service:
            self.way.service = service
            service.wait_until_ready()
            prober, self.messenger = bench.Client(service.port), bench.Client(service.port)
            assert prober.log_in(*VICTIM) == self.messenger.log_in(*VICTIM) == 200
            with bench.Load(service.port, [(user, user, password) for user, password in OTHERS], 100) as load:
                before = service.accepted_hashes()
                for _ in range(CHANGES):
                    self.change(service, prober, True)
                    self.change(service, prober, False)
                new = service.accepted_hashes() - before - self.way.hashes * CHANGES
                answers = load.end()
            prober.close()
            self.messenger.close()
        return self.row(answers, new)

    def row(self, answers, new):
        right = sum(counts.get("200", 0) for counts in answers.values())
        every = sum(sum(n for status, n in counts.items() if status != "longest_ms") for counts in answers.values())

        def times(seconds):
            missing = CHANGES - len(seconds)
            text = f"{statistics.median(seconds) * 1000:4.0f} {max(seconds) * 1000:5.0f}" if seconds else "-"
            return text + (f" ({missing} never)" if missing else "")
        return [self.way.name, times(self.removed), times(self.returned), f"{self.reported}",
                f"{self.wrong_after_report}", f"{every - right} of {every}", f"{new:.0f}"]


OTHER_LINES, VICTIM_LINE, OTHER_PASSWORD_LINE = hashes()
with bench.temporary_folder() as top:
    rows, notes = [], []
    for kind in (Rename, InPlace, TruncateWrite, SameStamp, ConfigMap, Sed, User, Hangup, Mounted):
        folder = os.path.join(top, kind.__name__)
        os.mkdir(folder)
        try:
            way = kind(folder)
        except (subprocess.CalledProcessError, FileNotFoundError):
            notes.append(f"{kind.name}: not tried, since mount --bind needs root and the right to mount")
            continue
        try:
            rows.append(Trial(way).run())
        finally:
            way.finish()
    print(f"Each way {CHANGES} times; time to effect in ms, median and worst; the file is looked at each second, and has")
    print("to be the same for 0.2 s. The last three columns have 0 as their target.\n")
    bench.table(["way", "removed", "put back", "reloads", "wrong after report", "others not 200", "others' new hashes"], rows)
    for note in notes:
        print(note)
