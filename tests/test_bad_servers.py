"""Servers that answer anything at all: the outcome is a complete, correct file or one timely error."""

import gzip
import hashlib
import socket
import threading
import time

import pytest

from kdpl import downloads
from kdpl.downloads import RemoteFile, download

BODY = b"the file " * 500
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
REFUSED = (ConnectionError, OSError)


def answer(status="200 OK", body=BODY, length=None, *headers):
    length = str(len(body)) if length is None else length
    lines = [f"HTTP/1.1 {status}", *([f"Content-Length: {length}"] * (length != "")), "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def busy(after, status="429 Too Many Requests"):
    return answer(status, b"", None, f"Retry-After: {after}")


def moved(place, status="302 Found"):
    return answer(status, b"", None, *([f"Location: {place}"] if place is not None else []))


CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
PART = f"Content-Range: bytes 100-{len(BODY) - 1}/{len(BODY)}"
WORKS = {  # answers in turn, the last one repeated
    "whole": [answer()],
    "without a length": [answer(length="")],
    "in chunks": [answer(body=CHUNKS, length="") .replace(b"Connection", CHUNKED.encode() + b"\r\nConnection")],
    "a length of letters": [answer(length="many")],
    "a negative length": [answer(length="-5")],
    "busy twice": [busy(0), busy(0, "503 Service Unavailable"), answer()],
    "busy until yesterday": [busy("Wed, 01 Jan 2020 00:00:00 GMT"), answer()],
    "busy until nonsense": [busy("soon"), answer()],
    "busy for a number of 5,000 digits": [busy("9" * 5000), answer()],
    "cut once": [answer(body=BODY[:100], length=str(len(BODY))), answer("206 Partial Content", BODY[100:], None, PART)],
    "cut once, cannot resume": [answer(body=BODY[:100], length=str(len(BODY))), answer()],
    "cut once, another range": [answer(body=BODY[:100], length=str(len(BODY))),
                                answer("206 Partial Content", BODY[7:], None, "Content-Range: bytes 7-9/10"), answer()],
    "nothing first": [b"", answer()],
}  # fmt: skip
FAILS = {
    "empty": [answer(body=b"")],
    "no content": [answer("204 No Content", b"", "")],
    "too short": [answer(body=BODY[:-1])],
    "too long": [answer(body=BODY + b"x")],
    "another file of the same size": [answer(body=BODY[::-1])],
    "cut for ever": [answer(body=BODY[:50], length=str(len(BODY)))],
    "cut at the same place": [answer(body=BODY[:100], length=str(len(BODY))), answer("206 P", b"", "400", PART)],
    "a length of a petabyte": [answer(length=str(10**15 - 1))],
    "a length of 5,000 digits": [answer(body=BODY[:9], length="9" * 5000)],
    "two lengths": [answer("200 OK", BODY, "7", "Content-Length: 9")],
    "chunks of no size": [answer("200 OK", b"zz\r\nabc\r\n", "", CHUNKED)],
    "chunks of a huge size": [answer("200 OK", b"f" * 40 + b"\r\nabc", "", CHUNKED)],
    "chunks that break off": [answer("200 OK", CHUNKS[:200], "", CHUNKED)],
    "compressed": [answer("200 OK", gzip.compress(BODY), None, "Content-Encoding: gzip")],
    "a web page": [answer("200 OK", b"<p>Sign in", None, "Content-Type: text/html")],
    "a web page that does not say so": [answer(body=b"\n <!DOCTYPE html><p>Sign in")],
    "an XML error": [answer(body=b"<?xml version='1.0'?><Error/>")],
    "a part that nobody asked for": [answer("206 Partial Content", BODY[5:], None, PART)],
    "a range without end": [answer("206 Partial Content", BODY, None, "Content-Range: bytes " + "9" * 5000 + "-")],
    "choices": [answer("300 Multiple Choices", b"")],
    "moved to nowhere": [moved(None)],
    "moved to an empty place": [moved("")],
    "moved in a circle": [moved("/a.bin")],
    "moved to a file of this machine": [moved("file:///etc/hostname")],
    "moved to a folder of this machine": [moved("file:///etc")],
    "moved to data": [moved("data:text/plain,hello")],
    "moved to FTP": [moved("ftp://127.0.0.1:9/a.bin")],
    "moved to a port that is none": [moved("http://127.0.0.1:99999/a.bin")],
    "not modified": [answer("304 Not Modified", b"", "")],
    "bad request": [answer("400 Bad Request", b"")],
    "login": [answer("401 Unauthorized", b"", None, 'WWW-Authenticate: Basic realm="x"')],
    "forbidden": [answer("403 Forbidden", b"no")],
    "not found": [answer("404 Not Found", b"no")],
    "gone": [answer("410 Gone", b"")],
    "no such range": [answer("416 Range Not Satisfiable", b"", None, "Content-Range: bytes */x")],
    "a teapot": [answer("418 I'm a teapot", b"")],
    "busy for a century": [busy(3_000_000_000)],
    "busy until 2999": [busy("Tue, 01 Jan 2999 00:00:00 GMT")],
    "busy for ever": [busy(0)],
    "an error of its own": [answer("500 Internal Server Error", b"")],
    "a status of 999": [answer("999 Strange", b"")],
    "a status of letters": [answer("OK fine")],
    "another protocol": [b"220 smtp.example ESMTP\r\n"],
    "noise": [bytes(range(256)) * 40],
    "nothing": [b""],
    "a status alone": [b"HTTP/1.1 200 OK\r\n"],
    "a header of 100 kB": [answer("200 OK", BODY, None, "X: " + "y" * 100_000)],
    "1,000 headers": [answer("200 OK", BODY, None, *(f"X{n}: y" for n in range(1000)))],
    "silence": [None],
    "silence in the middle": [answer(body=BODY[:50], length=str(len(BODY))) + b"STALL"],
}  # fmt: skip


class RawServer:
    """Answers each connection in turn with given bytes, whatever it asks for; None: with silence."""

    def __init__(self, answers):
        self.answers, self.stopped = list(answers), threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/a.bin"

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.stopped.set()
        self.socket.close()

    def serve(self):
        while not self.stopped.is_set():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            content = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            threading.Thread(target=self.reply, args=(connection, content), daemon=True).start()

    def reply(self, connection, content):
        try:
            with connection:
                connection.recv(65536)
                if content is None:
                    self.stopped.wait(5)
                else:
                    connection.sendall(content.removesuffix(b"STALL"))
                    if content.endswith(b"STALL"):
                        self.stopped.wait(5)
        except OSError:
            pass


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for name, value in (("BACKOFF", 0.01), ("TIMEOUT", 0.2), ("PATIENCE", 0.2)):
        monkeypatch.setattr(downloads, name, value)


@pytest.mark.parametrize("answers", [*WORKS.values(), *FAILS.values()], ids=[*WORKS, *FAILS])
def test_a_whole_file_arrives_or_one_error_in_time(answers, tmp_path, request):
    works, begun = request.node.callspec.id in WORKS, time.monotonic()
    with RawServer(answers) as server:
        file = RemoteFile("a.bin", (server.url,), SHA256)
        if works:
            download(file, tmp_path / "a.bin")
        else:
            with pytest.raises(REFUSED) as caught:
                download(file, tmp_path / "a.bin")
            told = str(caught.value)
            assert type(caught.value) in REFUSED and "a.bin" in told and "Traceback" not in told, told
            assert not isinstance(caught.value, ConnectionError) or server.url in told
    assert time.monotonic() - begun < 15
    left = sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock"))
    assert left == ["a.bin"] * works
    if works:
        assert (tmp_path / "a.bin").read_bytes() == BODY
