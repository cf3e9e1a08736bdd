"""A Dassl trainer that evaluates with exact counts and writes a record when it is finished."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from dassl.engine import TrainerX
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm
from yacs.config import CfgNode

from kdpl.caching.features import open_cache
from kdpl.clip.device import device_name
from kdpl.clip.loading import preprocessing_of
from kdpl.clip.towers import Preprocessing
from kdpl.console import counts_table, details_in_log_only
from kdpl.distillation.cached_features import cached_predictions
from kdpl.evaluation import Counts, Outputs
from kdpl.fingerprints import fingerprint, tensors_fingerprint
from kdpl.guard import at_safe_places, safe_place
from kdpl.images.evaluation_images import evaluation_batches
from kdpl.images.transforms import evaluation_transform
from kdpl.run_record import record_of


class RecordedTrainer(TrainerX):
    """Dassl's trainer plus ``results.json`` (see :mod:`kdpl.run_record`), written at the end of ``train`` or ``test``.

    Attributes:
        uses_labels: whether training reads labels.
        outputs: returns the outputs for all classes of the dataset, from which an evaluation then takes its logits.
    """

    uses_labels: bool = True
    outputs: Callable[[], Outputs] | None = None

    def __init__(self, cfg: CfgNode):
        self.record = record_of(cfg)
        kdpl = cfg.TRAINER.KDPL
        self.cache = open_cache(kdpl.CACHE_DIR, kdpl.CACHE_PRECISION, kdpl.CACHE_GB)
        with self.record.phase("load"):
            super().__init__(cfg)
        self.record.dataset, self.record.classnames_sha256 = self.dataset_name, fingerprint(self.classnames)
        self.record.split_sha256 = getattr(self.dm.dataset, "split_sha256", None)
        self.record.device, self.record.preprocessing = device_name(self.device), vars(self.images)

    @property
    def dataset_name(self) -> str:
        """The dataset's name in records and tables; a user's own images have their own name."""
        return getattr(self.dm.dataset, "title", self.cfg.DATASET.NAME)

    @property
    def classnames(self) -> list[str]:
        """The dataset's class names in label order."""
        return [self.lab2cname[label] for label in range(self.num_classes)]

    @cached_property
    def images(self) -> Preprocessing:
        """Preprocessing: the configuration's, with the student's for values that are not set."""
        return preprocessing_of(self.cfg.MODEL.BACKBONE.NAME).changed_by(self.cfg.INPUT)

    def build_data_loader(self) -> None:
        """As in Dassl, but list transforms only in the log, and count only images that the run can use."""
        cfg, images = self.cfg, self.images
        given = CfgNode({key: value or images.as_input().get(key, value) for key, value in cfg.INPUT.items()})
        self.cfg = CfgNode({**cfg, "INPUT": given, "VERBOSE": False})  # Dassl would also count unlabelled images
        with details_in_log_only("Building transform_", "+ "):
            super().build_data_loader()
        self.cfg, dataset = cfg, self.dm.dataset
        for loader in filter(None, (self.val_loader, self.test_loader)) if images.resize == "squash" else ():
            loader.dataset.transform = evaluation_transform(images)  # Dassl cannot squash images
        n_classes = None if getattr(dataset, "nameless", False) else self.num_classes
        n_test = sum(item.label >= 0 for item in dataset.test)
        print(counts_table(self.dataset_name, n_classes, len(dataset.train_x), len(dataset.val or ()), n_test))

    def train(self) -> None:
        """Train, test, and write the record.

        Raises:
            ValueError: if the dataset is for testing only, or lacks labels that training needs.
        """
        dataset, name = self.dm.dataset, self.dataset_name
        if getattr(dataset, "test_only", False):
            raise ValueError(f"{name} is for testing only. Train on ImageNet, then test here with --eval-only.")
        if self.uses_labels and not _all_labelled(dataset.train_x):
            raise ValueError(
                f"{self.cfg.TRAINER.NAME} learns from labels, but training images of {name} have none. "
                f"Use {self.cfg.TRAINER.NAME}_KDPL, which learns from a teacher, or label them."
            )
        self.record.mode = "train"
        super().train()
        self.save_final_prompts()
        self.finish_record()

    def save_final_prompts(self) -> None:
        """Write the learned prompts, if there are any."""

    @torch.no_grad()
    def test(self, split: str | None = None) -> float:
        """Evaluate as Dassl does, and record the exact counts of the final evaluation.

        Args:
            split: "val" or "test"; by default TEST.SPLIT, for the final evaluation.

        Returns:
            Accuracy in percent; 0 after training if test labels are unknown.

        Raises:
            ValueError: if the run is an evaluation, but labels are unknown.
        """
        final = split is None
        split, loader = self.split_and_loader(split)
        if not _all_labelled(loader.dataset.data_source):
            if not self.record.trains:
                hint = " Set DATASET.FOLDER.DIVIDE True to hold some out." if self.cfg.DATASET.NAME == "Folder" else ""
                raise ValueError(f"There are no labelled {split} images, so there is nothing to evaluate.{hint}")
            print(f"There are no labelled {split} images, so there is nothing to evaluate")
            return 0.0
        print(f"Evaluate on the *{split}* set")
        self.set_model_mode("eval")
        self.evaluator.reset()
        counts = Counts(self.classnames, self.device, per_image=final and self.cfg.TEST.PER_IMAGE_FILE)
        with at_safe_places(), self.record.phase("test"), closing(self.predictions(loader)) as predictions:
            for paths, label, logits in predictions:
                self.evaluator.process(logits, label)
                counts.add(logits, label, paths)
        for name, value in self.evaluator.evaluate().items():
            self.write_scalar(f"{split}/{name}", value, self.epoch)
        result = counts.result()
        print(f"* calibration error: {result['ece']:.1f}%")
        if counts.per_image:
            counts.write_images(file := Path(self.output_dir) / "predictions.csv", self.cfg.DATASET.ROOT)
            print(f"Predictions saved to {file}")
        if final:
            self.record.add_evaluation(split, result)
            if not self.record.trains:
                self.finish_record()
        return result["accuracy"]

    def split_and_loader(self, split: str | None = None) -> tuple[str, DataLoader]:
        """The split to evaluate on, TEST.SPLIT by default, and its images; "test" if there are none for validation."""
        split = (split or self.cfg.TEST.SPLIT) if self.val_loader is not None else "test"
        return split, self.val_loader if split == "val" else self.test_loader

    def predictions(self, loader: DataLoader) -> Iterator[tuple[list[str], Tensor, Tensor]]:
        """Paths, labels (batch,) and logits (batch, n_cls) for each batch; Ctrl-C takes effect between two batches."""
        if self.outputs is not None:
            yield from self.outputs().part(loader, self.cfg.DATASET.SUBSAMPLE_CLASSES, self.classnames)
            return
        with self.evaluation():
            batches = ((b["impath"], *self.parse_batch_test(b)) for b in evaluation_batches(loader, self.device))
            computed = ((paths, label, self.model_inference(image)) for paths, image, label in batches)
            if self.cache and self.model.evaluation_tower:
                computed = cached_predictions(self.model, self.device, self.cache, loader, self.cfg.DATASET.ROOT)
            for prediction in tqdm(computed, total=len(loader)):
                safe_place()
                yield prediction

    @property
    def prompts_sha256(self) -> str | None:
        """A hash of the prompts that identifies them wherever they are stored; None without prompts."""
        learned = {name: self._models[name].state_dict() for name in self.get_model_names()}  # zero-shot: empty
        return tensors_fingerprint(*learned.values()) if learned else None

    def finish_record(self) -> None:
        """Write the record."""
        self.record.prompts_sha256 = self.prompts_sha256
        self.record.write(self.output_dir)

    def evaluation(self) -> AbstractContextManager:
        """The context for a pass over a test set."""
        return nullcontext()

    def model_inference(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width) -> logits (batch, n_cls)."""
        raise NotImplementedError


def _all_labelled(items: Sequence[Any]) -> bool:
    """Whether all labels are known; -1 means unknown."""
    return all(item.label >= 0 for item in items)
