"""Text features computed on demand, class by class."""

from collections.abc import Sequence

import torch
from filelock import FileLock
from torch import Tensor

from ..names import weights_identity
from .cached_tensors import cache_file, read_cached, write_cached
from .loaded import LoadedCLIP
from .precision import Precision
from .templates import fill
from .text_features import text_function
from .towers import normalise

KIND = "text_feature_rows"  # folder in the cache
WORTH_WRITING = 0.1  # write to the cache once there are this many new rows, relative to those written


class TextFeatureTable:
    """Mean text features over several templates, computed when a class is first requested.

    Each class is encoded on its own, so that its features do not depend on earlier requests: results stay bit-identical
    when training is interrupted or the cache is shared.

    >>> import kdpl
    >>> from kdpl.clip.precision import resolve_precision
    >>> clip, templates = kdpl.load_clip("demo:student"), ["a photo of a {}.", "a drawing of a {}."]
    >>> table = TextFeatureTable(clip, ["cat", "dog", "owl"], templates, resolve_precision("fp32", torch.device("cpu")))
    >>> table[torch.tensor([0, 2])].shape, table.known.tolist()
    (torch.Size([2, 64]), [True, False, True])
    """

    def __init__(self, clip: LoadedCLIP, classnames: Sequence[str], templates: Sequence[str], precision: Precision):
        """
        Args:
            clip: already on the target device.
        """
        self.clip, self.classnames, self.templates, self.precision = clip, list(classnames), list(templates), precision
        self._encode_text = text_function(clip)
        self.known = torch.zeros(len(classnames), dtype=torch.bool)  # on the host
        self.features = torch.zeros(0)  # (n_cls, embed_dim), normalised, on the device; valid where known
        self._n_written = 0
        weights = weights_identity(clip.name, clip.weights_sha256)
        self._file = cache_file(KIND, [weights, precision.name, self.templates, self.classnames])
        self._take(read_cached(self._file, KIND, self._fits))

    def __getitem__(self, class_indices: Tensor) -> Tensor:
        """(k,) -> (k, embed_dim); synchronises with the device to read the indices."""
        wanted = class_indices.cpu()
        for i in wanted[~self.known[wanted]].tolist():
            self._put(i, self._encode(self.classnames[i]))
        if int(self.known.sum()) > (1 + WORTH_WRITING) * self._n_written:
            self._write()
        return self.features[class_indices]

    @torch.no_grad()
    def _encode(self, name: str) -> Tensor:
        """(embed_dim,), not normalised."""
        tokens = self.clip.tokenize([text for template in self.templates for text in fill(template, [name])])
        with self.precision.autocast():
            return self._encode_text(tokens.to(self.clip.model.logit_scale.device)).float().mean(dim=0)

    def _put(self, i: int, row: Tensor) -> None:
        if not len(self.features):
            self.features = row.new_zeros(len(self.classnames), len(row))
        self.features[i] = normalise(row)
        self.known[i] = True

    def _fits(self, rows: Tensor) -> bool:
        return rows.dim() == 2 and bool((rows[:, 0].long() < len(self.classnames)).all())

    def _take(self, rows: Tensor | None) -> None:
        """Use rows from the cache, (n, 1 + embed_dim): class index, then features."""
        if rows is None:
            return
        if not len(self.features):
            self.features = torch.zeros(
                len(self.classnames), rows.shape[1] - 1, device=self.clip.model.logit_scale.device
            )
        index = rows[:, 0].long()
        self.features[index] = rows[:, 1:].to(self.features)
        self.known[index] = True
        self._n_written = int(self.known.sum())

    def _write(self) -> None:
        """Merge the known rows into the cache, and take over rows added by other processes."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._file}.lock"):
            self._take(read_cached(self._file, KIND, self._fits))
            index = self.known.nonzero()
            write_cached(self._file, KIND, torch.cat([index.float(), self.features.cpu()[index[:, 0]]], dim=1))
        self._n_written = len(index)
