"""Prompts pushed to a Hub and loaded from it; the Hub is a server on this machine."""

import base64
import importlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

import kdpl
from kdpl.hub import is_repository, model_card
from kdpl.methods import METHODS
from kdpl.prompts.prompt_file import describe_prompts, save_prompt_file

hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install huggingface-hub")

CLASSNAMES = ["red circle", "<script>alert(1)</script>", "pipe | and `tick`"]
COMMIT = "0" * 39 + "1"


class Hub(BaseHTTPRequestHandler):
    """The part of the Hub's interface that a repository with small files needs."""

    files: dict[str, bytes] = {}
    repositories: list[str] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.repositories.append(name)
            self._json({"url": f"{self.server.url}/{name}"})
        elif self.path.endswith("/preupload/main"):
            files = [entry["path"] for entry in json.loads(body)["files"]]
            self._json({"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in files]})
        elif self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._json(
                {"commitUrl": f"{self.server.url}/somebody/birds/commit/{COMMIT}", "commitOid": COMMIT, "success": True}
            )
        else:  # the check of a model card's metadata
            self._json({"errors": [], "warnings": []})

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        known = "/somebody/birds/resolve/" in self.path and name in self.files
        content = self.files[name] if known else b""
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{name}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if not known:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def _json(self, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A Hub that huggingface_hub talks to instead of the real one."""
    Hub.files, Hub.repositories = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def classifier(tmp_path):
    clip, entry = kdpl.load_clip("demo:student"), METHODS["CoOp"]
    settings = entry.complete({})
    learner = entry.build_learner(clip, settings, seed=3)
    described = describe_prompts(
        "CoOp", settings, learner, clip, classnames=CLASSNAMES, seed=3, epochs=5, labels_used=False,
        teacher={"name": "demo:teacher", "sha256": "0"}, template="a photo of a {}.",
        accuracies=[{"dataset": "Birds", "split": "test", "subsample": "all", "accuracy": 87.5}],
    )  # fmt: skip
    save_prompt_file(tmp_path / "prompts.safetensors", learner, described)
    return kdpl.load(tmp_path / "prompts.safetensors", device="cpu")


def test_what_is_pushed_is_loaded_by_the_name_of_its_repository(server, classifier):
    address = classifier.push_to_hub("somebody/birds", token="hf_test")
    assert COMMIT in address and Hub.repositories == ["somebody/birds"]
    assert sorted(Hub.files) == ["README.md", "prompts.safetensors"]
    for loaded in (
        kdpl.load("somebody/birds", device="cpu"),
        kdpl.Classifier.from_pretrained("somebody/birds", device="cpu", revision="main"),
    ):
        assert loaded.classnames == CLASSNAMES and loaded.description == classifier.description
        image = torch.rand(2, 3, 64, 64)
        assert torch.equal(loaded.logits(image), classifier.logits(image))


def test_the_model_card_states_the_facts_and_escapes_names(server, classifier):
    classifier.push_to_hub("somebody/birds", token="hf_test")
    card = Hub.files["README.md"].decode()
    data = hub.ModelCard(card).data
    assert data.library_name == "kdpl" and "prompt-learning" in data.tags
    assert 'kdpl.load("somebody/birds")' in card
    for fact in (
        "| teacher | demo:teacher |",
        "| accuracy on Birds, test, all | 87.50 % |",
        "| seed | 3 |",
        "n\\_ctx 4",
    ):
        assert fact in card
    assert "&lt;script>alert(1)" in card and "<script>" not in card and "pipe \\| and \\`tick\\`" in card


def test_a_card_of_prompts_without_names_shows_how_to_give_some(classifier):
    description = {k: v for k, v in classifier.description.items() if k not in ("classnames", "teacher", "accuracies")}
    assert 'kdpl.load("a/b", ["cat", "dog"])' in model_card("a/b", description)


def test_an_unknown_repository_and_no_network_are_one_sentence_each(server, classifier, monkeypatch):
    with pytest.raises(ValueError, match=r"somebody/fish is neither a local file nor a repository"):
        kdpl.load("somebody/fish")
    server.shutdown()
    server.server_close()
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # huggingface_hub waits before it tries again
    with pytest.raises(ConnectionError, match=r"somebody/fish is neither a local file nor in the cache") as error:
        kdpl.load("somebody/fish")
    assert "\n" not in str(error.value)
    with pytest.raises(ConnectionError, match="upload to somebody/birds failed"):
        classifier.push_to_hub("somebody/birds", token="hf_test")


def test_names_of_files_are_not_looked_up_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output").mkdir()
    for name in ("prompts.safetensors", "output/birds", "a/b.safetensors", "a/b/c", "/a/b", tmp_path / "a" / "b"):
        assert not is_repository(name)
    assert is_repository("somebody/birds-v1.2")
