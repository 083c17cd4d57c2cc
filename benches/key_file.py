"""Files of keys for the benchmarks, by the documented format alone. As a program:

    key_file.py FILE COUNT OWNER    writes so many keys, and prints one of OWNER's without a scope, and one with a scope
"""

import hashlib
import json
import os
import random
import string
import sys
import time
import zlib

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def characters(count):
    return "".join(random.choices(DIGITS, k=count))


def checked(text):
    """With the CRC-32 in base 62, in six digits."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = DIGITS[digit] + digits
    return text + digits


def new(key_id=None):
    """A key; with the id of another one if that is given."""
    return checked(f"dwk_{key_id or characters(10)}_{characters(30)}")


def id_of(key):
    return key[4:14]


def line(key, owner, name, **more):
    digest = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    return json.dumps({"id": id_of(key), "hash": digest, "owner": owner, "name": name, **more}) + "\n"


def write(path, lines):
    """Puts the lines there as if some time ago: a file of just now is read twice before it counts."""
    with open(path + ".new", "w", encoding="ascii") as file:
        file.writelines(lines)
    then = time.time() - 60
    os.utime(path + ".new", (then, then))
    os.rename(path + ".new", path)


def many(path, count, owner):
    """So many keys of OWNER's and of others', as a large team would have them: two in three have a scope, of a few hundred,
    and an end. One of OWNER's without a scope, and one with a scope."""
    plain, scoped = new(), new()
    lines = [line(plain, owner, "plain"), line(scoped, owner, "scoped", scope=["pull:library/**"])]
    for i in range(count - 2):
        more = {"created": "2026-01-01T00:00:00Z"}
        if i % 3:
            more.update(expires="2099-01-01T00:00:00Z", scope=[f"pull,push:team{i % 300}/**", "pull:shared/**"])
        lines.append(line(new(), f"user{i // 10}", f"key{i % 10}", **more))
    random.shuffle(lines)
    write(path, lines)
    return plain, scoped


if __name__ == "__main__":
    print(*many(sys.argv[1], int(sys.argv[2]), sys.argv[3]), sep="\n")
