"""What the stand-ins of AWS, ECR and S3 share: HTTP/1.1 with bodies that are streamed, TLS that insists on the name that
it is asked for, a capture of every head that came and went, and files of state that the bench changes while they run.
"""

import http.client
import http.server
import ipaddress
import json
import os
import ssl
import threading
import time
from urllib.parse import urlsplit

BLOCK = 1 << 16
# What belongs to a connection and not to what is said over it.
HOPS = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "proxy-connection"}


class State:
    """A JSON file that somebody else writes, or a file of JSON lines; read again when it has changed."""

    def __init__(self, path, lines=False, default=None):
        self.path, self.lines = path, lines
        self.seen, self.value = None, [] if lines else default or {}
        self.lock = threading.Lock()

    def get(self):
        with self.lock:
            try:
                stat = os.stat(self.path)
                seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
                if seen != self.seen:
                    with open(self.path, encoding="utf-8") as file:
                        text = file.read()
                    if self.lines:
                        self.value = [json.loads(line) for line in text.splitlines()]
                    else:
                        self.value = json.loads(text)
                    self.seen = seen
            except FileNotFoundError:
                pass
            return self.value


class Capture:
    """The heads of all requests and answers of a server, one JSON object a line."""

    def __init__(self, path):
        # Not truncated: one that is started again goes on with it.
        self.file = open(path, "a", encoding="utf-8", buffering=1)
        self.lock = threading.Lock()

    def head(self, what, line, headers, **more):
        entry = {"at": time.time(), "what": what, "line": line, "headers": headers, **more}
        with self.lock:
            self.file.write(json.dumps(entry) + "\n")


class Server(http.server.ThreadingHTTPServer):
    """`names` are those it answers to: another one, or none where there is no address among them, gets no handshake."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address, handler, pair=None, names=(), **attributes):
        self.context = None
        if pair:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*pair)
            nameless = any(is_address(name) for name in names)

            def check(_socket, name, _context):
                fine = name in names if name else nameless
                return None if fine else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

            self.context.sni_callback = check
        for name, value in attributes.items():
            setattr(self, name, value)
        super().__init__(address, handler)

    def finish_request(self, request, client_address):
        # In the thread of the connection: one that never says anything holds up nobody.
        request.settimeout(120)
        if self.context:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError) as error:
                self.capture.head("handshake failed", str(error), [])
                return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        """Connections that break off are everyday life here."""

    def shutdown_request(self, request):
        try:
            super().shutdown_request(request)
        except OSError:
            pass


def is_address(name):
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


class Handler(http.server.BaseHTTPRequestHandler):
    """`answer_it` of the real ones decides; here is how it is read and written."""

    protocol_version = "HTTP/1.1"
    wbufsize = BLOCK

    def log_message(self, *_args):
        """The capture has it all."""

    def handle_method(self):
        self.server.capture.head("request", self.requestline, self.headers.items(), peer=self.client_address[0])
        self.body_is_read = not self.has_body()
        try:
            self.answer_it()
        finally:
            if not self.body_is_read:
                # So that the other side reads the answer, and not that the connection was reset.
                self.wfile.flush()
                self.close_connection = True
                for _ in self.body():
                    pass

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_method

    def has_body(self):
        return "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0"

    def body(self):
        """The request's body as it comes."""
        self.body_is_read = True
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                while size:
                    data = self.rfile.read(min(size, BLOCK))
                    if not data:
                        raise ConnectionError("the body breaks off")
                    size -= len(data)
                    yield data
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            left = int(self.headers.get("Content-Length", "0"))
            while left:
                data = self.rfile.read(min(left, BLOCK))
                if not data:
                    raise ConnectionError("the body breaks off")
                left -= len(data)
                yield data

    def head(self, status, headers):
        """Status line and headers, also into the capture."""
        self.server.capture.head("answer", f"{status} to {self.requestline}", headers)
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "date" for name, _ in headers):
            self.send_header("Date", self.date_time_string())
        if not self.body_is_read:
            self.send_header("Connection", "close")
        self.end_headers()

    def say(self, status, text, headers=(), kind="application/json"):
        data = (text if isinstance(text, str) else json.dumps(text)).encode()
        self.head(status, [("Content-Type", kind), ("Content-Length", str(len(data))), *headers])
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def passed_on(self, address, headers, method=None, path=None, body=None):
        """Asks another server, streaming this request's body unless told otherwise, and gives the connection, which is to
        be closed, and its answer."""
        there = http.client.HTTPConnection(address, timeout=120)
        there.putrequest(method or self.command, path or self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            there.putheader(name, value)
        chunked = "Transfer-Encoding" in self.headers and body is None
        if method is None and self.has_body():
            there.putheader(*(("Transfer-Encoding", "chunked") if chunked
                              else ("Content-Length", self.headers["Content-Length"])))
            body = self.body()
        there.endheaders(body, encode_chunked=chunked)
        return there, there.getresponse()

    def hand_over(self, answer, headers, status=None):
        """An answer's body, as it comes."""
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        length = answer.getheader("Content-Length")
        chunked = length is None and not bodiless
        if chunked:
            headers = [*headers, ("Transfer-Encoding", "chunked")]
        self.head(status or answer.status, headers)
        while not bodiless and (data := answer.read1(BLOCK)):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()


def without_hops(headers, *others):
    drop = HOPS | {name.lower() for name in others}
    return [(name, value) for name, value in headers if name.lower() not in drop]


def authority(url):
    return urlsplit(url).netloc
