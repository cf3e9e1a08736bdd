"""An HTTP server on this machine that serves given bytes, and misbehaves when told to."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LoopbackServer:
    """Serve ``files`` (path to bytes) at ``url`` while in the ``with`` block.

    Attributes:
        requests: what was asked for so far: (path, value of the Range header or None).
        status: of every answer.
        content_type: of every answer.
        ranges: whether the server can start in the middle of a file.
        cuts: for the next requests in turn: bytes after which the connection is cut.
        delay: seconds before an answer.
        drip: seconds after each byte, to send the content byte by byte.
        statuses: answer the next requests in turn with these.
        redirects: path to the address that it has moved to.
        etag, last_modified: of all files; if a client's If-Range names another, the whole file is sent.
        heeds_if_range: whether it heeds that header.
        announced: a wrong Content-Length to send.
        retry_after: how long answers with a status other than 200 ask to wait: seconds, or a date.
    """

    def __init__(self, files: dict[str, bytes]):
        self.files = files
        self.requests: list[tuple[str, str | None]] = []
        self.status = 200
        self.content_type = "application/octet-stream"
        self.ranges = True
        self.cuts: list[int] = []
        self.delay = 0.0
        self.drip = 0.0
        self.statuses: list[int] = []
        self.redirects: dict[str, str] = {}
        self.etag = ""
        self.last_modified = ""
        self.heeds_if_range = True
        self.announced: int | None = None
        self.retry_after: int | str | None = None
        self._stopped = threading.Event()

    def __enter__(self) -> "LoopbackServer":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer._answer(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *arguments: None  # clients that hang up are part of the tests
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked_range = handler.headers["Range"]
        self.requests.append((handler.path, asked_range))
        self._stopped.wait(self.delay)
        if handler.path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[handler.path])
            handler.end_headers()
            return
        content = self.files.get(handler.path)
        status = self.statuses.pop(0) if self.statuses else self.status
        if content is None or status != 200:
            handler.send_response(404 if content is None else status)
            if self.retry_after is not None:
                handler.send_header("Retry-After", str(self.retry_after))
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        start = int(asked_range.removeprefix("bytes=").removesuffix("-")) if asked_range and self.ranges else 0
        versions = (self.etag, self.last_modified)
        if self.heeds_if_range and handler.headers.get("If-Range", self.etag) not in versions:
            start = 0
        if start and start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Type", self.content_type)
        handler.send_header("Content-Length", str((self.announced or len(content)) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.last_modified:
            handler.send_header("Last-Modified", self.last_modified)
        handler.end_headers()
        for byte in content[start:] if self.drip else b"":
            handler.wfile.write(bytes([byte]))
            if self._stopped.wait(self.drip):
                return
        handler.wfile.write(content[start:][: self.cuts.pop(0) if self.cuts else None])
