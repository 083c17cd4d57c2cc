#!/usr/bin/env python3
"""The name server that nginx asks: IPv4 addresses of the names in FILE (`NAME ADDRESS` a line, read at each question).

    ecr_names.py 127.0.0.1:5353 FILE
"""

import socket
import struct
import sys

from ecr_registry import address


def name_of(question):
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1:at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), at + 1


def answer(question, path):
    name, end = name_of(question)
    kind, = struct.unpack("!H", question[end:end + 2])
    with open(path, encoding="utf-8") as file:
        known = [line.split()[1] for line in file if line.split()[:1] == [name]]
    found = known if kind == 1 else []
    flags = 0x8180 if known else 0x8183     # no error, or no such name
    head = question[:2] + struct.pack("!5H", flags, 1, len(found), 0, 0)
    records = b"".join(struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(one) for one in found)
    return head + question[12:end + 4] + records


def main():
    here, path = address(sys.argv[1]), sys.argv[2]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(here)
        while True:
            question, asker = server.recvfrom(4096)
            try:
                server.sendto(answer(question, path), asker)
            except (IndexError, UnicodeDecodeError, struct.error, OSError) as error:
                print(error, file=sys.stderr)


if __name__ == "__main__":
    main()
