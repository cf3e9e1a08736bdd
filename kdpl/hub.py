"""Prompts on the Hugging Face Hub: a repository holds one prompt file and a model card generated from it."""

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .extras import need
from .offline import is_offline
from .prompts.prompt_file import FILE_NAME, Description

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")  # user/name
CARD = Path(__file__).with_name("model_card.md.j2")
_UNREACHABLE = (
    "{} is neither a local file nor in the cache, and the Hub cannot be reached. Connect to the network, or pass a "
    "prompt file."
)
MOST_NAMES = 100  # class names listed in a card; the prompt file has all of them


def is_repository(name: str | os.PathLike) -> bool:
    """Whether a name refers to a repository on the Hub rather than a file.

    >>> is_repository("somebody/birds"), is_repository("prompts.safetensors"), is_repository("./output/prompts")
    (True, False, False)
    """
    if not isinstance(name, str) or not REPOSITORY.fullmatch(name) or Path(name).exists():
        return False
    return not Path(name).parent.is_dir() and not name.endswith((".safetensors", ".pth", ".tar", ".pt"))


def fetch_prompts(repository: str, revision: str | None = None, token: str | None = None) -> Path:
    """The prompt file of a repository, downloaded unless huggingface_hub has it in its cache.

    Raises:
        ValueError: if there is no such repository or revision, or no prompt file in it.
        ConnectionError: if the Hub cannot be reached and the cache does not have the file.
    """
    hub, errors = _hub("Loading from the Hub")
    try:
        options = {"revision": revision, "token": token, "local_files_only": is_offline()}
        return Path(hub.hf_hub_download(repository, FILE_NAME, library_name="kdpl", **options))
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(_UNREACHABLE.format(repository)) from error
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise ValueError(
            f"{repository} is neither a local file nor a repository on the Hub that contains {FILE_NAME} and that you "
            f"have access to ({_first_line(error)})."
        ) from error
    except Exception as error:
        if not _is_network_error(error):
            raise
        raise ConnectionError(_UNREACHABLE.format(repository)) from error


def push(
    repository: str,
    save: Callable[[Path], None],
    description: Description,
    *,
    private: bool | None = None,
    token: str | None = None,
    message: str = "Upload prompts",
) -> str:
    """Create a repository if needed, and commit the prompt file and the model card.

    Args:
        save: writes the prompt file to the given path.

    Returns:
        The URL of the commit.

    Raises:
        ConnectionError: if the Hub cannot be reached or refuses.
    """
    hub, errors = _hub("Pushing to the Hub")
    api = hub.HfApi(token=token, library_name="kdpl")
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder, FILE_NAME))
        try:
            name = api.create_repo(repository, private=private, exist_ok=True).repo_id
            Path(folder, "README.md").write_text(model_card(name, description), encoding="utf-8")
            return str(api.upload_folder(repo_id=name, folder_path=folder, commit_message=message))
        except errors.HFValidationError as error:
            raise ValueError(f"{repository!r} is not a valid repository name: {_first_line(error)}") from error
        except Exception as error:
            if not isinstance(error, errors.HfHubHTTPError) and not _is_network_error(error):
                raise
            raise ConnectionError(
                f"The upload to {repository} failed ({type(error).__name__}: {_first_line(error)}). Check the network, "
                "and log in with `hf auth login`."
            ) from error


def model_card(repository: str, description: Description) -> str:
    """The README.md of a repository: facts from the prompt file, and how to use it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["cell"] = _escape
    names = description.get("classnames") or []
    facts: dict[str, Any] = {"teacher": None, "template": None, "seed": None, "epochs": None, "accuracies": []}
    return environment.from_string(CARD.read_text(encoding="utf-8")).render(
        facts | description, repository=repository, n_cls=len(names), shown=names[:MOST_NAMES]
    )


def _escape(text: object) -> str:
    """Escape text for Markdown and HTML."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", escaped)


def _hub(purpose: str) -> tuple[ModuleType, ModuleType]:
    """huggingface_hub and its errors."""
    return need("huggingface_hub", "hub", purpose), need("huggingface_hub.errors", "hub", purpose)


def _is_network_error(error: Exception) -> bool:
    """Whether the system or the HTTP library raised an error; the library depends on huggingface_hub's version."""
    return isinstance(error, OSError) or any(base.__name__ == "HTTPError" for base in type(error).__mro__)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
