#!/usr/bin/env python3
"""Looks for upstream tokens where they must not be: whole, in pieces, as they are handed out and decoded.

    ecr_scan.py TOKENS.jsonl [--secret TEXT]... FILE-OR-FOLDER...

It prints where something was found, and how much was looked at; it ends with 1 if something was. With --secret it looks
for that, too; with TOKENS `-`, for that alone.
"""

import argparse
import base64
import json
import os

PIECE = 24


def pieces(text):
    """Pieces of a token: one from each end and some from between."""
    places = {0, len(text) // 3, 2 * len(text) // 3, max(0, len(text) - PIECE)}
    return {text[at:at + PIECE] for at in places}


def needles(path):
    found = {}
    if path == "-":
        return found
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            made = json.loads(line)
            password = made["password"]
            # base64 of `AWS:` takes the first five characters and a part of the sixth.
            for form, text in (("raw", made["token"][6:].rstrip("=")), ("password", password),
                               ("base64 of the password", base64.b64encode(password.encode()).decode().rstrip("="))):
                for piece in pieces(text):
                    found.setdefault(piece.encode(), f"token {number}, {form}")
    return found


def files(paths):
    for path in paths:
        if os.path.isdir(path):
            for folder, _, names in os.walk(path):
                yield from (os.path.join(folder, name) for name in names)
        elif os.path.exists(path):
            yield path
        else:
            raise SystemExit(f"there is no {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secret", action="append", default=[])
    parser.add_argument("tokens")
    parser.add_argument("places", nargs="+")
    told = parser.parse_args()
    wanted = needles(told.tokens) | {secret.encode(): "a customer's secret" for secret in told.secret}
    looked, size, bad = 0, 0, 0
    for path in files(told.places):
        if not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            data = file.read()
        looked, size = looked + 1, size + len(data)
        for needle, what in wanted.items():
            if needle in data:
                bad += 1
                at = data.index(needle)
                print(f"{path}: {what}, after {data[max(0, at - 60):at]!r}")
                break
    print(f"{looked} files, {size} bytes, {len(wanted)} needles: {bad or 'none'} found")
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
