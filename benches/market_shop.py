#!/usr/bin/env python3
"""The web service of a marketplace of images, for market.sh: accounts, API keys, reserved names, purchases; and how it lets
doorward know of them, in the two ways of examples/marketplace.toml and examples/marketplace-files.toml.

    market_shop.py PORT asked SECRET FLUSH TOKEN    SECRET: what doorward shows; FLUSH: http://127.0.0.1:8001/flush;
                                                  TOKEN: the file of admin.token_file
    market_shop.py PORT files FOLDER            where doorward reads `groups` and `keys`

What people do on its pages is here POST /reserve?account=&name=, /buy?account=&offer=, /refund?account=&offer=,
/key?account=&name=&seconds=, which shows the key, and /revoke?key=. The answer comes when doorward has been told.
"""

import hashlib
import http.server
import json
import os
import re
import secrets
import string
import sys
import threading
import time
import urllib.parse
import urllib.request
import zlib

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")            # without a dot, see marketplace-policy.toml
OFFER = re.compile(r"([a-z0-9]+(-[a-z0-9]+)*)\.[a-z0-9]+")
GROUPS_MAX = 64         # of one account; doorward takes no more


class No(Exception):
    """What is asked for can't be."""


def random_text(count):
    return "".join(secrets.choice(DIGITS) for _ in range(count))


def checked(text):
    """With doorward's checksum: the CRC-32 in base 62, in six digits."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = DIGITS[digit] + digits
    return text + digits


def date(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Books:
    """All that the marketplace knows. Of a key it keeps the hash."""

    def __init__(self):
        self.keys = {}          # hash: account, id, name, end
        self.sellers = {}       # name: account
        self.bought = {}        # offer: accounts

    def groups_of(self, account):
        sells = [name for name, seller in self.sellers.items() if seller == account]
        return sells, [offer for offer, accounts in self.bought.items() if account in accounts]

    def has_room(self, account):
        if sum(map(len, self.groups_of(account))) >= GROUPS_MAX:
            raise No("this account can't have more")

    def reserve(self, account, name):
        if not NAME.fullmatch(name):
            raise No("a name has small letters, digits and dashes")
        if name in self.sellers:
            raise No("it is taken")
        self.has_room(account)
        self.sellers[name] = account

    def buy(self, account, offer):
        if not (OFFER.fullmatch(offer) and offer.split(".")[0] in self.sellers):
            raise No("nobody sells it")
        self.has_room(account)
        self.bought.setdefault(offer, set()).add(account)

    def refund(self, account, offer):
        self.bought[offer].remove(account)

    def key(self, account, name, seconds, prefix):
        key_id = random_text(10)
        key = checked(f"{prefix}{key_id}_{random_text(30)}")
        end = time.time() + float(seconds) if seconds else None
        self.keys[hashlib.sha256(key.encode()).hexdigest()] = (account, key_id, name, end)
        return key

    def revoke(self, key):
        return self.keys.pop(hashlib.sha256(key.encode()).hexdigest())[0]

    def owner(self, key):
        account, _, _, end = self.keys.get(hashlib.sha256(key.encode()).hexdigest(), (None, None, None, 0))
        return account if end is None or end > time.time() else None


class Asked:
    """doorward asks, and is told whose answers it has to forget."""

    prefix = "mk_"

    def __init__(self, secret, flush, token):
        self.secret, self.flush = secret, flush
        with open(token, encoding="ascii") as file:
            self.bearer = {"Authorization": f"Bearer {file.readline().strip()}"}

    def tell(self, _, account):
        url = f"{self.flush}?user={urllib.parse.quote(account)}"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=self.bearer), timeout=5) as answer:
            assert answer.status == 204


class Files:
    """doorward reads files, each replaced whole."""

    prefix = "dwk_"

    def __init__(self, folder):
        self.folder = folder

    def put(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".new", path)

    def tell(self, books, _):
        groups = [f"{name}: {seller}\n" for name, seller in books.sellers.items()]
        groups += [f"{offer}: {' '.join(sorted(accounts))}\n" for offer, accounts in books.bought.items()]
        lines = []
        for digest, (account, key_id, name, end) in books.keys.items():
            line = {"id": key_id, "hash": f"sha256:{digest}", "owner": account, "name": name}
            lines.append(json.dumps(line if end is None else {**line, "expires": date(end)}) + "\n")
        self.put("groups", "".join(groups))
        self.put("keys", "".join(lines))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    books, way, lock = Books(), None, threading.Lock()

    def answer(self, status, value):
        body = value.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if value.startswith("{") else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/internal/key":
            self.internal(body)
            return
        asked = dict(urllib.parse.parse_qsl(url.query))
        try:
            with self.lock:
                said, account = self.change(url.path, asked)
                if isinstance(self.way, Files):
                    self.way.tell(self.books, account)      # one after the other
            if isinstance(self.way, Asked):
                self.way.tell(self.books, account)          # doorward may ask meanwhile
            self.answer(200, said)
        except No as no:
            self.answer(409, str(no))
        except KeyError:
            self.answer(404, "there is no such thing")

    def change(self, path, asked):
        books = self.books
        if path == "/key":
            said = books.key(asked["account"], asked["name"], asked.get("seconds"), self.way.prefix)
            return said, asked["account"]
        if path == "/revoke":
            return "", books.revoke(asked["key"])
        what = {"/reserve": books.reserve, "/buy": books.buy, "/refund": books.refund}[path]
        what(**asked)
        return "", asked["account"]

    def internal(self, body):
        """What doorward asks."""
        if not (isinstance(self.way, Asked) and secrets.compare_digest(
                self.headers.get("X-Internal-Key", ""), self.way.secret)):
            self.answer(403, "")
            return
        asked = json.loads(body)
        with self.lock:
            account = self.books.owner(asked["key"])
            sells, bought = self.books.groups_of(account)
        if account is None:
            self.answer(401, "")
        else:
            self.answer(200, json.dumps({"account": account, "sells": sells, "bought": bought}))

    def log_message(self, *_):
        """Nothing: a line would tell keys."""


def main():
    port, way, *more = sys.argv[1:]
    Handler.way = {"asked": Asked, "files": Files}[way](*more)
    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
