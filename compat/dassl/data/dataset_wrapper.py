"""A list of ``Datum`` as a torch dataset."""

from collections.abc import Callable, Sequence

from dassl.utils import read_image
from PIL import Image
from torch.utils.data import Dataset
from yacs.config import CfgNode

from .datasets import Datum
from .transforms import build_plain_transform


class DatasetWrapper(Dataset):
    """Reads and transforms images.

    An item is a dictionary: ``label``, ``domain``, ``impath``, ``index`` (position in ``data_source``) and ``img``.
    Several transforms give ``img``, ``img2``, ``img3`` ...; with ``DATALOADER.K_TRANSFORMS`` above 1 each of them is a
    list in training; ``DATALOADER.RETURN_IMG0`` adds ``img0``, which is not augmented.

    Args:
        cfg: the configuration.
        data_source: the images.
        transform: applied to the PIL image; None for no transform.
        is_train: whether ``K_TRANSFORMS`` applies.
    """

    def __init__(
        self,
        cfg: CfgNode,
        data_source: Sequence[Datum],
        transform: Callable | Sequence[Callable] | None = None,
        is_train: bool = False,
    ):
        self.cfg = cfg
        self.data_source = data_source
        self.transform = transform
        self.is_train = is_train
        self.k_tfm = cfg.DATALOADER.K_TRANSFORMS if is_train else 1
        self.return_img0 = cfg.DATALOADER.RETURN_IMG0
        if self.k_tfm > 1 and transform is None:
            raise ValueError(f"DATALOADER.K_TRANSFORMS is {self.k_tfm}, but there is no transform to apply")
        self.to_tensor = build_plain_transform(cfg)

    def __len__(self) -> int:
        return len(self.data_source)

    def __getitem__(self, idx: int) -> dict:
        datum = self.data_source[idx]
        image = read_image(datum.impath)
        item = {"label": datum.label, "domain": datum.domain, "impath": datum.impath, "index": idx}
        if self.transform is None:
            item["img"] = image
        else:
            transforms = self.transform if isinstance(self.transform, list | tuple) else [self.transform]
            for number, transform in enumerate(transforms, start=1):
                item["img" if number == 1 else f"img{number}"] = self._transform_image(transform, image)
        if self.return_img0:
            item["img0"] = self.to_tensor(image)
        return item

    def _transform_image(self, transform: Callable, image: Image.Image) -> object:
        versions = [transform(image) for _ in range(self.k_tfm)]
        return versions[0] if self.k_tfm == 1 else versions
