#!/usr/bin/env python3
"""Runs a command on a terminal and answers what it asks, as the person in front of it would.

    person.py PROMPT ANSWER [PROMPT ANSWER...] -- COMMAND...

A prompt is a regular expression; whenever new output holds one, its answer is typed. What was printed goes to standard
output, and the command's exit status is this one's. Fails when there is no end after TIMEOUT seconds, 600.
"""

import os
import pty
import re
import select
import signal
import sys
import time

split = sys.argv.index("--")
prompts = [(re.compile(p.encode()), a.encode()) for p, a in zip(sys.argv[1:split:2], sys.argv[2:split:2])]
end = time.monotonic() + float(os.environ.get("TIMEOUT", "600"))

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[split + 1], sys.argv[split + 1:])

unread = b""
while True:
    if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
        os.kill(pid, signal.SIGKILL)
        sys.exit("person.py: no end in sight")
    try:
        new = os.read(terminal, 65536)
    except OSError:     # how Linux tells of the other side's end
        new = b""
    if not new:
        break
    sys.stdout.buffer.write(new.replace(b"\r", b""))
    sys.stdout.flush()
    unread += new
    while asked := [(m, a) for p, a in prompts if (m := p.search(unread))]:
        found = min(asked, key=lambda f: f[0].start())
        unread = unread[found[0].end():]
        os.write(terminal, found[1] + b"\n")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
