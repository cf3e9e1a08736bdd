"""Files from the Hugging Face Hub or its cache; huggingface_hub is imported only when needed."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ..downloads import TIMEOUT, in_words
from ..offline import Missing, is_offline

TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "vocab.txt",
                   "vocab.json")  # fmt: skip
TOKENIZER_PATTERNS = ["*token*", "vocab*", "merges.txt", "*.model", "config.json"]


def hub_file(
    repository: str, names: Sequence[str], fetch: Callable[[], str | Path], asked: str, revision: str | None = None
) -> Path:
    """The first of these files found in the cache, else the file that ``fetch`` downloads.

    Args:
        repository: such as "apple/MobileCLIP-S0-OpenCLIP".
        asked: name of the CLIP, for messages.

    Raises:
        Missing: offline, if none is in the cache.
        OSError: if the Hub cannot be reached or has no such file.
    """
    import huggingface_hub

    where = {"revision": revision} if revision else {}
    for name in names:
        cached = huggingface_hub.try_to_load_from_cache(repository, name, **where)
        if isinstance(cached, str):
            return Path(cached)
    if is_offline():
        raise Missing([f"{asked}: {' or '.join(names)} of {repository}"], [asked])
    look_for_hub()
    return Path(fetch())


def look_for_hub() -> None:
    """Fail quickly if there is no network; the Hub's client takes most of a minute to notice.

    Raises:
        OSError: if the Hub does not respond.
    """
    import huggingface_hub

    try:
        urlopen(Request(huggingface_hub.constants.ENDPOINT, method="HEAD"), timeout=TIMEOUT).close()
    except HTTPError:
        pass  # an error response still means that there is a network


def tokenizer_folder(repository: str, asked: str) -> Path:
    """The folder with a tokenizer's files: ``repository`` if it is a local folder, else its snapshot from the Hub.

    Raises:
        Missing, OSError: as :func:`hub_file`.
    """
    import huggingface_hub

    if Path(repository).is_dir():
        return Path(repository)

    def fetch() -> Path:
        folder = Path(huggingface_hub.snapshot_download(repository, allow_patterns=TOKENIZER_PATTERNS))
        return folder / "tokenizer_config.json"

    return hub_file(repository, TOKENIZER_FILES, fetch, asked).parent


@contextmanager
def hub_failures(asked: str, place: str, otherwise: str) -> Iterator[None]:
    """Turn network failures within the block into one message that says what to do.

    Args:
        asked: name of the CLIP.
        place: its repository on the Hub.
        otherwise: what the user can specify instead, such as a file downloaded elsewhere.
    """
    try:
        yield
    except Missing:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # the disk is full, not a network problem
            raise
        from huggingface_hub import constants as hub

        raise ConnectionError(
            f"{asked} could not be fetched: {in_words(error)}. Looked in {hub.HF_HUB_CACHE}, then at "
            f"{hub.ENDPOINT}/{place} . Check the connection and start again, set HF_ENDPOINT to a mirror, or use "
            f"{otherwise}."
        ) from error


def source_of(path: Path) -> dict[str, str]:
    """Repository and commit of a path inside the Hub's cache; empty for any other path."""
    parts = path.parts
    if "snapshots" not in parts[1:-1]:
        return {}
    at = parts.index("snapshots")
    return {"repository": parts[at - 1].removeprefix("models--").replace("--", "/"), "revision": parts[at + 1]}
