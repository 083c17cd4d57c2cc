"""The "S3" that the stand-in for ECR sends pulls of layers to: the query's signature admits, for its time, and an
Authorization header beside it is refused, as S3 does. The layers come from the real registry.
"""

import hashlib
import hmac
import secrets
import time
from urllib.parse import quote, urlsplit

import ecr_wire

KEY = secrets.token_bytes(32)
# A real one has such a token of its own in the query, with characters that must reach S3 as they were sent.
SESSION = quote("IQoJb3JpZ2luX2VjE+/=" * 50, safe="")


def signature(host, path, query):
    return hmac.new(KEY, "\n".join((host, path, query)).encode(), hashlib.sha256).hexdigest()


def presigned(base, repository, digest, life):
    """Where a layer can be had for `life` seconds. `base` is https://NAME of the S3."""
    path = f"/9d5a-123456789012/{repository}/{digest}"
    query = (f"X-Amz-Security-Token={SESSION}&X-Amz-Algorithm=AWS4-HMAC-SHA256"
             f"&X-Amz-Date={time.time():.3f}&X-Amz-SignedHeaders=host&X-Amz-Expires={life}"
             "&X-Amz-Credential=ASIAEXAMPLE%2F20260101%2Feu-central-1%2Fs3%2Faws4_request")
    return f"{base}{path}?{query}&X-Amz-Signature={signature(ecr_wire.authority(base), path, query)}"


class S3(ecr_wire.Handler):
    def refuse(self, status, code, message):
        self.say(status, f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
                 "<RequestId>S3STANDIN</RequestId></Error>", kind="application/xml")

    def answer_it(self):
        if "Authorization" in self.headers:
            self.refuse(400, "InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
                        "Signature query string parameter or the Authorization header should be specified")
            return
        url = urlsplit(self.path)
        query, _, given = url.query.rpartition("&X-Amz-Signature=")
        hosts = self.headers.get_all("Host") or []
        if self.command not in ("GET", "HEAD") or len(hosts) != 1:
            self.refuse(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        elif not query:
            self.refuse(403, "AccessDenied", "Access Denied")
        elif not hmac.compare_digest(signature(hosts[0], url.path, query), given):
            self.refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature "
                        "you provided. Check your key and signing method.")
        else:
            said = dict(part.split("=", 1) for part in query.split("&"))
            if time.time() > float(said["X-Amz-Date"]) + float(said["X-Amz-Expires"]):
                self.refuse(403, "AccessDenied", "Request has expired")
            else:
                self.layer(url.path)

    def layer(self, path):
        repository, digest = path.split("/", 2)[2].rsplit("/", 1)
        wanted = [(name, self.headers[name]) for name in ("Range",) if name in self.headers]
        there, answer = self.passed_on(self.server.registry, [("Host", "registry"), *wanted], self.command,
                                       f"/v2/{repository}/blobs/{digest}")
        try:
            if answer.status not in (200, 206):
                answer.read()
                self.refuse(404, "NoSuchKey", "The specified key does not exist.")
                return
            kept = [(name, value) for name, value in answer.getheaders()
                    if name.lower() in ("content-length", "content-range", "accept-ranges")]
            self.hand_over(answer, [*kept, ("Server", "AmazonS3"), ("ETag", f'"{digest[7:39]}"'),
                                    ("Content-Type", "application/octet-stream"), ("x-amz-request-id", "S3STANDIN")])
        finally:
            there.close()
