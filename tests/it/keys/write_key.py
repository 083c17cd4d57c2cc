"""Writes a key by the documented format alone, as a web service of somebody's own would: a line is added to FILE, and the
key is printed.

    write_key.py FILE OWNER NAME [EXPIRES [SCOPE...]]
"""

import hashlib
import json
import secrets
import string
import sys
import zlib

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def characters(count):
    return "".join(secrets.choice(DIGITS) for _ in range(count))


def checksum(text):
    """The CRC-32 in base 62, in six digits."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = DIGITS[digit] + digits
    return digits


def main():
    file, owner, name, *more = sys.argv[1:]
    key_id = characters(10)
    key = f"dwk_{key_id}_{characters(30)}"
    key += checksum(key)
    line = {"id": key_id, "hash": "sha256:" + hashlib.sha256(key.encode()).hexdigest(), "owner": owner, "name": name}
    if more:
        line["expires"], line["scope"] = more[0], more[1:]
    with open(file, "a", encoding="utf-8") as keys:
        keys.write(json.dumps(line) + "\n")
    print(key)


main()
