"""Optional packages."""

import importlib
from types import ModuleType

PACKAGES = {  # of each extra, by name: in a clone, pip would look for "kdpl[...]" on its index
    "export": "onnx onnxruntime onnxscript",
    "hub": "huggingface-hub",
    "reports": "matplotlib pyarrow",
    "sweeps": "ray pyarrow pandas submitit",
    "transformers": "transformers sentencepiece",
}


def need(package: str, extra: str, purpose: str) -> ModuleType:
    """Import a package that belongs to an optional extra.

    >>> need("json", "none", "this example").__name__
    'json'

    Args:
        purpose: what needs it, as the subject of the message.

    Raises:
        ValueError: with the command that installs it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ValueError(f"{purpose} needs {package.partition('.')[0]}: pip install {PACKAGES[extra]}") from error
