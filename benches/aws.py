#!/usr/bin/env python3
"""AWS for a bench: in front of moto, whose ECR token is always the same and ended in 2015. Each GetAuthorizationToken gets
a new token with a life of its own, which the stand-in for ECR (ecr_registry.py) then takes; the rest goes to moto as it is.
Signatures are computed again and compared, with the key that is set or one that moto's STS has handed out.

    aws.py --state FOLDER --listen 127.0.0.1:4566 --moto 127.0.0.1:5000 --key ID SECRET
        [--tls 127.0.0.1:4567 CRT KEY]      the same over TLS

In the folder it reads `aws.json`, which the bench writes, and writes `tokens.jsonl` and its capture, `aws.jsonl`.

    {"mode": "ok", "life": 43200, "length": 0, "delay": 0}

mode: ok; gone (each connection breaks off), throttle, refuse, fail (500), empty (no token in the answer), malformed (what
it says is no base64), ended (the token is over already), missing (no expiresAt); delay: seconds before it answers, in any
mode; length: bytes of the token, as it is handed out; life: seconds.

A container's and an instance's role are here too: AWS_CONTAINER_CREDENTIALS_FULL_URI=http://.../role, or
AWS_EC2_METADATA_SERVICE_ENDPOINT=http://...
"""

import argparse
import base64
import hashlib
import hmac
import json
import re
import secrets
import socket
import threading
import time
from urllib.parse import parse_qsl, quote, urlsplit

import ecr_wire
from ecr_registry import address

TARGET = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
JSON = "application/x-amz-json-1.1"
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})")


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(request, body, secret, found):
    """What a signature of version 4 has to be, for a request that says it was made so."""
    _, day, region, service, names, _ = found
    url = urlsplit(request.path)
    query = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~"))
                   for name, value in parse_qsl(url.query, keep_blank_values=True))
    heads = "".join(f"{name}:{' '.join(','.join(request.headers.get_all(name) or ['']).split())}\n"
                    for name in names.split(";"))
    canonical = "\n".join((request.command, quote(url.path, safe="/-_.~") or "/",
                           "&".join("=".join(pair) for pair in query), heads, names, hashlib.sha256(body).hexdigest()))
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", request.headers.get("X-Amz-Date", ""), scope,
                      hashlib.sha256(canonical.encode()).hexdigest()))
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = digest(key, part)
    return digest(key, text).hex()


class Aws(ecr_wire.Handler):
    def fault(self, kind, message, status=400):
        self.say(status, {"__type": kind, "message": message}, [("x-amzn-RequestId", secrets.token_hex(16))], kind=JSON)

    def answer_it(self):
        self.settings = {"mode": "ok", "life": 43200, "length": 0, "delay": 0, **self.server.settings.get()}
        time.sleep(self.settings["delay"])
        if self.settings["mode"] == "gone":
            self.close_connection = True
            self.body_is_read = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if self.role():
            return
        body = b"".join(self.body())
        is_ecr = self.headers.get("X-Amz-Target", "").startswith("AmazonEC2ContainerRegistry_")
        wrong = self.unsigned(body) if is_ecr or "Authorization" in self.headers else None
        if wrong:
            self.server.capture.head("bad signature", wrong[1], [])
            self.fault(*wrong)
        elif not is_ecr:
            self.from_moto(body)
        elif self.command != "POST" or self.headers.get("X-Amz-Target") != TARGET:
            self.fault("UnknownOperationException", "there is only GetAuthorizationToken here")
        elif self.headers.get("Content-Type") != JSON:
            self.fault("SerializationException", f"Content-Type has to be {JSON}")
        else:
            self.token(body)

    def unsigned(self, body):
        """What is wrong with the signature, if anything."""
        found = SIGNED.fullmatch(self.headers.get("Authorization", ""))
        if not found:
            return "MissingAuthenticationTokenException", "Missing Authentication Token"
        known = self.server.keys.get(found[1])
        if not known:
            return "UnrecognizedClientException", "The security token included in the request is invalid."
        secret, session = known
        signed = found[5].split(";")
        if not {"host", "x-amz-date"} <= set(signed) or "X-Amz-Target" in self.headers and "x-amz-target" not in signed:
            return "InvalidSignatureException", f"these headers alone are signed: {found[5]}"
        if session and self.headers.get("X-Amz-Security-Token") != session:
            return "UnrecognizedClientException", "The security token included in the request is invalid."
        if not hmac.compare_digest(signature(self, body, secret, found.groups()), found[6]):
            return "InvalidSignatureException", "The request signature we calculated does not match the one you provided."
        said = time.mktime(time.strptime(self.headers.get("X-Amz-Date", ""), "%Y%m%dT%H%M%SZ")) - time.timezone
        if abs(said - time.time()) > 300:
            return "InvalidSignatureException", f"Signature expired: {self.headers['X-Amz-Date']}"
        return None

    def ask_moto(self, body):
        headers = ecr_wire.without_hops(self.headers.items(), "Content-Length")
        there, answer = self.passed_on(self.server.moto, [*headers, ("Content-Length", str(len(body)))],
                                       self.command, self.path, body)
        data = answer.read()
        there.close()
        return answer, data

    def from_moto(self, body):
        answer, data = self.ask_moto(body)
        text = data.decode()
        found = [re.search(f"<{name}>([^<]*)</{name}>", text)
                 for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
        if all(found):
            self.server.keys[found[0][1]] = (found[1][1], found[2][1])
        self.say(answer.status, text, without_length(answer), kind=answer.getheader("Content-Type", "text/xml"))

    def token(self, body):
        mode, life = self.settings["mode"], self.settings["life"]
        if mode == "throttle":
            self.fault("ThrottlingException", "Rate exceeded")
        elif mode == "refuse":
            self.fault("AccessDeniedException", "User: arn:aws:sts::123456789012:assumed-role/proxy/i-0 is not authorized "
                       "to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows it")
        elif mode == "fail":
            self.fault("ServerException", "These errors are usually caused by a server-side issue.", 500)
        else:
            answer, data = self.ask_moto(body)
            if answer.status != 200:
                self.say(answer.status, data.decode(), kind=JSON)
                return
            said = json.loads(data)
            for one in said["authorizationData"]:
                self.put_new(one, mode, life)
            if mode == "empty":
                said["authorizationData"] = []
            self.say(200, said, [("x-amzn-RequestId", secrets.token_hex(16))], kind=JSON)

    def put_new(self, one, mode, life):
        now = time.time()
        length = max(0, self.settings["length"])
        # base64 makes four bytes of three; four are `AWS:`.
        password = secrets.token_hex(max(64, length * 3 // 4 - 4) // 2 + 1)[:max(64, length * 3 // 4 - 4)]
        token = base64.b64encode(f"AWS:{password}".encode()).decode()
        until = now - 60 if mode == "ended" else now + life
        self.server.remember({"token": token, "password": password, "from": now, "until": until})
        one["authorizationToken"] = f"%%{token[1:]}" if mode == "malformed" else token
        one["expiresAt"] = round(until, 3)
        if mode == "missing":
            del one["expiresAt"]

    def role(self):
        """Whether this was about the credentials of a role, which need none."""
        path = urlsplit(self.path).path
        id_, (secret, _) = next(iter(self.server.keys.items()))
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 21600))
        session = "session-of-a-role"
        keys = {"AccessKeyId": "ASIAROLE" + id_[-8:], "SecretAccessKey": secret, "Token": session, "Expiration": until}
        imds = "/latest/meta-data/iam/security-credentials"
        if path == "/latest/api/token" and self.command == "PUT":
            self.say(200, "of-the-instance", [("X-aws-ec2-metadata-token-ttl-seconds", "21600")], kind="text/plain")
        elif path in (imds, imds + "/"):
            self.say(200, "proxy", kind="text/plain")
        elif path in ("/role", imds + "/proxy"):
            self.server.keys[keys["AccessKeyId"]] = (secret, session)
            self.say(200, {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": until, **keys})
        elif path.startswith("/latest/"):
            self.say(404, "there is no such thing here", kind="text/plain")
        else:
            return False
        return True


def without_length(answer):
    return ecr_wire.without_hops(answer.getheaders(), "Content-Length", "Content-Type")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--state", "--listen", "--moto"):
        parser.add_argument(name, required=True)
    parser.add_argument("--key", nargs=2, required=True)
    parser.add_argument("--tls", nargs=3, metavar=("ADDRESS", "CRT", "KEY"))
    told = parser.parse_args()
    lock = threading.Lock()

    def remember(made):
        with lock, open(f"{told.state}/tokens.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(made) + "\n")

    everything = {"moto": told.moto, "remember": remember, "keys": {told.key[0]: (told.key[1], None)},
                  "capture": ecr_wire.Capture(f"{told.state}/aws.jsonl"),
                  "settings": ecr_wire.State(f"{told.state}/aws.json")}
    if told.tls:
        there = address(told.tls[0])
        more = ecr_wire.Server(there, Aws, told.tls[1:], there[:1], **everything)
        threading.Thread(target=more.serve_forever, daemon=True).start()
    ecr_wire.Server(address(told.listen), Aws, **everything).serve_forever()


if __name__ == "__main__":
    main()
