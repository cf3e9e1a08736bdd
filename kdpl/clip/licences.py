"""Licences of published weights, as stated on their pages in 2025; the pages are authoritative."""

from typing import NamedTuple

from ..names import HUB_PREFIX, OPEN_CLIP_PREFIX
from .demo_weights import DEMO_WEIGHTS
from .open_clip_names import import_open_clip, split_name, tag_of
from .openai import OPENAI_WEIGHTS


class Licence(NamedTuple):
    """A licence, with a short summary of its restrictions."""

    name: str
    terms: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.terms})" if self.terms else self.name


MIT, APACHE = Licence("MIT"), Licence("Apache 2.0")
NON_COMMERCIAL = Licence("CC BY-NC 4.0", "no commercial use")
APPLE = Licence("apple-amlr", "research only")
# By substring of the repository's name on the Hub, in lower case; the first match decides.
LICENCES = (
    ("metaclip", NON_COMMERCIAL), ("nllb", NON_COMMERCIAL), ("mobileclip", APPLE), ("apple/", APPLE),
    ("siglip", APACHE), ("pe-core", APACHE), ("clipa", APACHE), ("laion", MIT), ("datacomp", MIT), ("commonpool", MIT),
    ("openai", MIT), ("eva", MIT), ("vitamin", MIT), ("yfcc15m", MIT), ("cc12m", MIT),
)  # fmt: skip


def licence_of(name: str) -> Licence | None:
    """The licence of a CLIP's weights, judging by its name; None if unknown.

    >>> str(licence_of("ViT-B/32"))
    'MIT'
    """
    if name in OPENAI_WEIGHTS or name in DEMO_WEIGHTS:
        return MIT
    if name.startswith(HUB_PREFIX):
        return _licence_of_repository(name.removeprefix(HUB_PREFIX))
    if name.startswith(OPEN_CLIP_PREFIX):
        if tag := tag_of(name):
            return _licence_of_repository(tag["hf_hub"])
        licences = model_licences(split_name(name)[0])
        return licences[0] if len(licences) == 1 else None
    return None


def model_licences(model: str) -> list[Licence | None]:
    """The distinct licences of all published weights of an open_clip model."""
    open_clip = import_open_clip()
    tags = (open_clip.get_pretrained_cfg(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model))
    return list(dict.fromkeys(_licence_of_repository(tag["hf_hub"]) for tag in tags))


def terms_of(name: str) -> dict[str, str]:
    """The licence entry of a run record; empty if the licence is unknown, or the weights are our own."""
    licence = None if name in DEMO_WEIGHTS else licence_of(name)
    return {"licence": str(licence)} if licence else {}


def _licence_of_repository(repository: str) -> Licence | None:
    return next((licence for part, licence in LICENCES if part in repository.lower()), None)
