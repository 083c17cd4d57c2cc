#!/usr/bin/env python3
"""A stand-in for ECR, made of a real registry: Basic `AWS:<password>` with a password that ends, absolute Location and
Link that name its own host, layers by a redirect to an "S3" (ecr_s3.py) that takes no Authorization, push.

    ecr_registry.py --state FOLDER --registry 127.0.0.1:5000 --pair CRT KEY
        --ecr 127.0.0.77:443 --host 123456789012.dkr.ecr.eu-central-1.amazonaws.com
        --s3 127.0.0.78:443 --s3-name NAME [--s3-name NAME] [--page 100]

In the folder it reads `tokens.jsonl`, which aws.py writes ({"token", "from", "until"} a line, of base64 as AWS hands it
out), and `ecr.json`, which the bench writes:

    {"s3": "https://127.0.0.78", "life": 60, "refuse": 0, "since": 0}

s3: where layers are; life: seconds that such an address is good for; refuse: a status that everything gets (401, 403);
since: tokens that were made before that time are void. It writes the captures `ecr.jsonl` and `s3.jsonl`, the former with
what each request's credentials were: good, old, unknown, none.
"""

import argparse
import base64
import binascii
import json
import re
import threading
import time
from urllib.parse import parse_qs, quote, urlsplit

import ecr_s3
import ecr_wire

BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
TAGS = re.compile(r"/v2/(.+)/tags/list")
MOST = 1000     # tags that may be asked for at once
OLD = "Your authorization token has expired. Reauthenticate and try again."


def error(code, message):
    return {"errors": [{"code": code, "message": message}]}


class Ecr(ecr_wire.Handler):
    def answer_it(self):
        server = self.server
        hosts = self.headers.get_all("Host") or []
        if hosts not in ([server.host], [f"{server.host}:{server.server_port}"]):
            # The real one has no idea whose registry is meant.
            self.say(400, f"no registry at {hosts}\n", kind="text/plain")
            return
        held = self.credentials()
        server.capture.head("credentials", held, [], of=self.requestline)
        forced = server.settings.get().get("refuse", 0)
        if forced == 401 or held in ("none", "unknown") and not forced:
            text = "Not Authorized\n"
            self.say(401, text, [("WWW-Authenticate", f'Basic realm="https://{server.host}/",service="ecr.amazonaws.com"'),
                                 ("Docker-Distribution-Api-Version", "registry/2.0")], kind="text/plain; charset=utf-8")
        elif forced or held == "old":
            self.say(forced or 403, error("DENIED", OLD), [("Docker-Distribution-Api-Version", "registry/2.0")])
        else:
            self.admitted()

    def credentials(self):
        """What the Authorization header is: good, old, unknown or none."""
        given = self.headers.get_all("Authorization") or []
        if len(given) != 1 or not given[0].startswith("Basic "):
            return "none"
        try:
            name, _, _ = base64.b64decode(given[0][6:], validate=True).partition(b":")
        except binascii.Error:
            return "none"
        if name != b"AWS":
            return "none"
        for made in self.server.tokens.get():
            if made["token"] == given[0][6:]:
                since = self.server.settings.get().get("since", 0)
                return "good" if time.time() < made["until"] and made["from"] >= since else "old"
        return "unknown"

    def admitted(self):
        url = urlsplit(self.path)
        if self.command == "GET" and (blob := BLOB.fullmatch(url.path)):
            self.layer(*blob.groups())
        elif self.command == "GET" and (tags := TAGS.fullmatch(url.path)):
            self.tags(tags[1], parse_qs(url.query, keep_blank_values=True))
        else:
            there, answer = self.ask()
            try:
                self.hand_over(answer, without(answer))
            finally:
                there.close()

    def ask(self, method=None, path=None):
        """The registry, which believes that it is called by ECR's name over TLS."""
        # A part is asked for where the layer is; a question of our own is about the whole.
        own = ("Range", "If-Range", "If-None-Match") if method else ()
        headers = ecr_wire.without_hops(self.headers.items(), *own, "Host", "Authorization", "Content-Length", "Expect",
                                        "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded")
        headers += [("Host", self.server.host), ("X-Forwarded-Proto", "https")]
        return self.passed_on(self.server.registry, headers, method, path)

    def layer(self, repository, digest):
        there, answer = self.ask("HEAD", f"/v2/{repository}/blobs/{digest}")
        answer.read()
        there.close()
        if answer.status != 200:
            self.say(404, error("BLOB_UNKNOWN", "blob unknown to registry"))
            return
        settings = self.server.settings.get()
        where = ecr_s3.presigned(settings["s3"], repository, digest, settings.get("life", 60))
        # As the real one: a page about it, which nobody reads.
        self.say(307, f'<a href="{where}">Temporary Redirect</a>.\n\n', [("Location", where), ("Docker-Content-Digest", digest),
                 ("Docker-Distribution-Api-Version", "registry/2.0")], kind="text/html; charset=utf-8")

    def tags(self, repository, query):
        """In pages, whatever the registry does: the next one has a name that means nothing to anybody else."""
        there, answer = self.ask("GET", f"/v2/{repository}/tags/list")
        text = answer.read()
        there.close()
        if answer.status != 200:
            self.say(answer.status, text.decode())
            return
        try:
            count = int(query.get("n", [self.server.page])[0])
            last = query.get("last", [""])[0]
            begin = int(base64.b64decode(last).decode().partition("=")[2]) if last else 0
        except (ValueError, binascii.Error):
            self.say(400, error("UNSUPPORTED", "Invalid parameter at 'n' or 'last'"))
            return
        if not 1 <= count <= MOST:
            self.say(400, error("UNSUPPORTED", f"Invalid parameter at 'maxResults': it must be at most {MOST}"))
            return
        every = sorted(json.loads(text)["tags"] or [])
        end = begin + count
        more = []
        if end < len(every):
            next_one = quote(base64.b64encode(f">>?{repository}={end}".encode()).decode(), safe="")
            more = [("Link", f'<https://{self.server.host}/v2/{repository}/tags/list?last={next_one}&n={count}>; rel="next"')]
        self.say(200, {"name": repository, "tags": every[begin:end]},
                 [("Docker-Distribution-Api-Version", "registry/2.0"), *more])


def without(answer):
    return ecr_wire.without_hops(answer.getheaders())


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--state", "--registry", "--ecr", "--host", "--s3"):
        parser.add_argument(name, required=True)
    parser.add_argument("--pair", nargs=2, required=True)
    parser.add_argument("--s3-name", action="append", required=True)
    parser.add_argument("--page", type=int, default=100)
    told = parser.parse_args()
    folder = told.state
    s3 = ecr_wire.Server(address(told.s3), ecr_s3.S3, told.pair, told.s3_name, registry=told.registry,
                         capture=ecr_wire.Capture(f"{folder}/s3.jsonl"))
    ecr = ecr_wire.Server(address(told.ecr), Ecr, told.pair, [told.host], registry=told.registry, host=told.host,
                          page=told.page, capture=ecr_wire.Capture(f"{folder}/ecr.jsonl"),
                          tokens=ecr_wire.State(f"{folder}/tokens.jsonl", lines=True),
                          settings=ecr_wire.State(f"{folder}/ecr.json", default={"s3": f"https://{told.s3}"}))
    threading.Thread(target=s3.serve_forever, daemon=True).start()
    ecr.serve_forever()


if __name__ == "__main__":
    main()
