#!/usr/bin/env python3
"""Runs a command in a terminal and answers its prompts, as a user would.

    person.py PROMPT ANSWER [PROMPT ANSWER...] -- COMMAND...

A prompt is a regular expression. If new output matches, the answer is typed. The output is copied to standard output, and
the exit status is that of the command. It fails if the command does not end in TIMEOUT seconds, by default 600.
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
        sys.exit("person.py: the command did not end in time")
    try:
        new = os.read(terminal, 65536)
    except OSError:     # on Linux, the command has closed the terminal
        new = b""
    if not new:
        break
    sys.stdout.buffer.write(new.replace(b"\r", b""))
    sys.stdout.flush()
    unread += new
    while matches := [(m, a) for p, a in prompts if (m := p.search(unread))]:
        found = min(matches, key=lambda match: match[0].start())
        unread = unread[found[0].end():]
        os.write(terminal, found[1] + b"\n")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
