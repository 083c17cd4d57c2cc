"""Runs a command on a terminal of its own and answers its prompts, each only once it is shown and
what is typed is not: terminal.py PROMPT ANSWER ... -- COMMAND ...

Prints the exit code, whether the terminal shows what is typed again, and all that it showed."""
import os
import pty
import select
import sys
import termios
import time

PATIENCE = 60

end = sys.argv.index("--")
prompts = list(zip(sys.argv[1:end:2], sys.argv[2:end:2]))
command = sys.argv[end + 1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)

shown = b""
until = time.monotonic() + PATIENCE


def echoes():
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def read():
    """Some of what is shown; nothing at the end."""
    global shown
    if time.monotonic() > until:
        sys.exit("in vain; so far it showed: %r" % shown)
    if not select.select([terminal], [], [], 0.01)[0]:
        return True
    try:
        some = os.read(terminal, 4096)
    except OSError:  # nobody has the other end open any more
        return False
    shown += some
    return bool(some)


seen = 0
for prompt, answer in prompts:
    while True:
        at = shown.find(prompt.encode(), seen)
        if at >= 0 and not echoes():
            break
        if not read():
            sys.exit("it ended; it showed: %r" % shown)
    seen = at + len(prompt)
    os.write(terminal, answer.encode() + b"\n")
while read():
    pass
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(code, "echo" if echoes() else "no-echo")
sys.stdout.write(shown.decode())
