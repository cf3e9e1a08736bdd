"""The order in which images are drawn."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import RandomSampler, Sampler, SequentialSampler
from yacs.config import CfgNode

from .datasets import Datum


class RandomDomainSampler(Sampler):
    """Batches of equally many random images from each of ``n_domain`` random domains.

    An epoch ends with the first batch after which some domain cannot fill its share again.

    Args:
        data_source: the images.
        batch_size: a multiple of ``n_domain``.
        n_domain: domains in a batch; below 1: all.

    Raises:
        ValueError: if the batch cannot be divided.
    """

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_domain: int | None = None):
        self.domain_dict = _indices_by(data_source, "domain")
        self.domains = self._ordered(self.domain_dict)
        self.n_domain = n_domain if n_domain and n_domain > 0 else len(self.domains)
        if self.n_domain > len(self.domains) or batch_size % self.n_domain:
            raise ValueError(
                f"a batch of {batch_size} images cannot hold equally many of {self.n_domain} domains "
                f"out of {len(self.domains)}; make DATALOADER.TRAIN_X.BATCH_SIZE a multiple of the number of domains"
            )
        self.n_img_per_domain = batch_size // self.n_domain
        self.length = sum(1 for _ in self)

    def __iter__(self) -> Iterator[int]:
        remaining = {domain: list(indices) for domain, indices in self.domain_dict.items()}
        order = []
        while all(len(indices) >= self.n_img_per_domain for indices in remaining.values()):
            for domain in self._domains_of_batch():
                chosen = random.sample(remaining[domain], self.n_img_per_domain)
                order += chosen
                taken = set(chosen)
                remaining[domain] = [index for index in remaining[domain] if index not in taken]
        return iter(order)

    def __len__(self) -> int:
        return self.length

    def _ordered(self, domains: dict[int, list[int]]) -> list[int]:
        return list(domains)

    def _domains_of_batch(self) -> list[int]:
        return random.sample(self.domains, self.n_domain)


class SeqDomainSampler(RandomDomainSampler):
    """Batches of equally many random images from every domain, in ascending order of the domains."""

    def __init__(self, data_source: Sequence[Datum], batch_size: int):
        super().__init__(data_source, batch_size)

    def _ordered(self, domains: dict[int, list[int]]) -> list[int]:
        return sorted(domains)

    def _domains_of_batch(self) -> list[int]:
        return self.domains


class RandomClassSampler(Sampler):
    """Batches of ``n_ins`` images from each of ``batch_size // n_ins`` random classes.

    A class with fewer images repeats some of them; what is left of a class beyond a multiple of ``n_ins`` is not drawn.

    Raises:
        ValueError: if a batch is smaller than ``n_ins`` or needs more classes than there are.
    """

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_ins: int):
        self.index_dic = _indices_by(data_source, "label")
        self.labels = list(self.index_dic)
        self.n_ins = n_ins
        self.ncls_per_batch = batch_size // n_ins
        if not 1 <= self.ncls_per_batch <= len(self.labels):
            raise ValueError(
                f"a batch of {batch_size} images with {n_ins} a class takes {self.ncls_per_batch} classes of "
                f"{len(self.labels)}; change DATALOADER.TRAIN_X.BATCH_SIZE or DATALOADER.TRAIN_X.N_INS"
            )
        self.length = sum(1 for _ in self)

    def __iter__(self) -> Iterator[int]:
        groups = {label: self._shuffled_groups(indices) for label, indices in self.index_dic.items()}
        labels = list(self.labels)
        order = []
        while len(labels) >= self.ncls_per_batch:
            for label in random.sample(labels, self.ncls_per_batch):
                order += groups[label].pop(0)
                if not groups[label]:
                    labels.remove(label)
        return iter(order)

    def __len__(self) -> int:
        return self.length

    def _shuffled_groups(self, indices: list[int]) -> list[list[int]]:
        indices = list(indices)
        if len(indices) < self.n_ins:
            indices = np.random.choice(indices, size=self.n_ins, replace=True).tolist()
        random.shuffle(indices)
        full = len(indices) - len(indices) % self.n_ins
        return [indices[start : start + self.n_ins] for start in range(0, full, self.n_ins)]


def _indices_by(data_source: Sequence[Datum], attribute: str) -> dict[int, list[int]]:
    indices = defaultdict(list)
    for index, datum in enumerate(data_source):
        indices[getattr(datum, attribute)].append(index)
    return dict(indices)


def build_sampler(
    sampler_type: str,
    cfg: CfgNode | None = None,
    data_source: Sequence[Datum] | None = None,
    batch_size: int = 32,
    n_domain: int = 0,
    n_ins: int = 16,
) -> Sampler:
    """The sampler called ``sampler_type``.

    Raises:
        ValueError: if there is none of that name, or it cannot make such batches.
    """
    makers = {
        "RandomSampler": lambda: RandomSampler(data_source),
        "SequentialSampler": lambda: SequentialSampler(data_source),
        "RandomDomainSampler": lambda: RandomDomainSampler(data_source, batch_size, n_domain),
        "SeqDomainSampler": lambda: SeqDomainSampler(data_source, batch_size),
        "RandomClassSampler": lambda: RandomClassSampler(data_source, batch_size, n_ins),
    }
    if sampler_type not in makers:
        raise ValueError(f"unknown sampler {sampler_type!r}; known are {list(makers)}")
    return makers[sampler_type]()
