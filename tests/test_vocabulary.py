"""The vocabulary of class-agnostic training, from files and from a server on this machine."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from kdpl.distillation import vocabulary
from kdpl.distillation.vocabulary import load_vocabulary


def test_names_are_one_per_line_without_blanks_or_repetitions(tmp_path):
    (tmp_path / "names.txt").write_text("dog\n\n grand piano \ndog\ncafé\n", encoding="utf-8")
    assert load_vocabulary(str(tmp_path / "names.txt")) == ["dog", "grand piano", "café"]


@pytest.mark.parametrize(
    "text", ['ClassName\nDog\n"Bread, sliced"\n', 'LabelName,DisplayName\n/m/1,Dog\n/m/2,"Bread, sliced"\n']
)
def test_a_csv_gives_its_column_of_names(text, tmp_path):
    (tmp_path / "names.csv").write_text(text)
    assert load_vocabulary(str(tmp_path / "names.csv")) == ["Dog", "Bread, sliced"]


def test_a_missing_or_empty_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.txt"):
        load_vocabulary(str(tmp_path / "nowhere.txt"))
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="contains no class names"):
        load_vocabulary(str(tmp_path / "empty.txt"))
    (tmp_path / "one.txt").write_text("cat\n")
    with pytest.raises(ValueError, match="one.txt contains only 'cat'; at least two names are needed"):
        load_vocabulary(str(tmp_path / "one.txt"))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves what ``answers`` says; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    answers, requests = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            status, body = answers[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args): ...

    http = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}", answers, requests
    http.shutdown()


def test_the_names_of_open_images_are_fetched_once(server):
    url, answers, requests = server
    body = "LabelName,DisplayName\n" + "".join(f'/m/{i},"Thing {i}, café"\n' for i in range(20_500))
    answers["/list.csv"] = (200, body.encode())
    for _ in range(2):
        names = load_vocabulary("", f"{url}/list.csv")
        assert len(names) == 20_500 and names[7] == "Thing 7, café"
    assert requests == ["/list.csv"]


@pytest.mark.parametrize(
    "answer, message",
    [
        ((404, b"gone"), "404"),
        ((200, b"<html>sign in</html>"), "not the class list"),
        ((200, b"LabelName,DisplayName\n/m/1,Dog\n"), "1 names instead of over 20000"),
    ],
)
def test_a_wrong_file_leaves_nothing_behind(answer, message, server, tmp_path):
    url, answers, _ = server
    answers["/list.csv"] = answer
    with pytest.raises(ConnectionError, match=message) as error:
        load_vocabulary("", f"{url}/list.csv")
    assert "by hand" in str(error.value)
    assert not [file for file in vocabulary.cache_dir().rglob("*") if file.is_file() and file.suffix != ".lock"]


def test_without_a_network_the_manual_route_is_explained(server):
    with pytest.raises(ConnectionError, match="TRAINER.KDPL.VOCABULARY"):
        load_vocabulary("", "http://127.0.0.1:9/list.csv")
