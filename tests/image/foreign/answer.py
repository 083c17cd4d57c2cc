"""Answers 200 to the user guest with the password guest, and 401 to all other requests."""

import base64
import http.server
import signal

RIGHT = "Basic " + base64.b64encode(b"guest:guest").decode()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        admitted = self.path == "/check" and self.headers.get("Authorization") == RIGHT
        self.send_response(200 if admitted else 401)
        if not admitted:
            self.send_header("WWW-Authenticate", 'Basic realm="elsewhere"')
        self.send_header("Content-Length", "0")
        self.end_headers()


# The first process of a container ignores signals without a handler.
signal.signal(signal.SIGTERM, lambda *_: exit(0))
http.server.ThreadingHTTPServer(("", 9000), Answer).serve_forever()
