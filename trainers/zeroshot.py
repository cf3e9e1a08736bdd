"""Zero-shot CLIP with hand-written prompts (Radford et al., ICML 2021, arXiv:2103.00020)."""

from torch import Tensor
from yacs.config import CfgNode

from kdpl.clip.loading import check_clip_name, check_normalized, load_clip
from kdpl.clip.templates import ENSEMBLE_OF_7, template_of
from kdpl.clip.zero_shot import ZeroShotClassifier

from .kdpl.recorded_trainer import RecordedTrainer
from .kdpl.registration import register_trainer


@register_trainer
class ZeroshotCLIP(RecordedTrainer):
    """CLIP with the dataset's template; any CLIP can be the backbone."""

    def templates(self) -> list[str]:
        """Texts with ``{}`` for the class name; several form an ensemble."""
        return [template_of(self.cfg.DATASET.NAME, self.cfg.DATASET.TEMPLATE)]

    def check_cfg(self, cfg: CfgNode) -> None:
        check_normalized(cfg.INPUT.TRANSFORMS)
        check_clip_name(cfg.MODEL.BACKBONE.NAME)

    def build_model(self) -> None:
        cfg = self.cfg
        print(f"Loading CLIP (backbone: {cfg.MODEL.BACKBONE.NAME}); templates: {', '.join(self.templates())}")
        clip = load_clip(cfg.MODEL.BACKBONE.NAME)
        self.model = ZeroShotClassifier(
            clip, self.classnames, self.templates(), device=self.device,
            pixel_mean=self.images.mean, pixel_std=self.images.std,
        )  # fmt: skip
        self.record.weights_sha256 = {"student": clip.weights_sha256}

    def train(self) -> None:
        raise ValueError(f"{type(self).__name__} has nothing to train. Run it with --eval-only.")

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Do nothing, as there are no prompts to load."""

    def model_inference(self, image: Tensor) -> Tensor:
        return self.model(image)


@register_trainer
class ZeroshotCLIP2(ZeroshotCLIP):
    """CLIP with an ensemble of seven general templates and, except for ImageNet, the dataset's own."""

    def templates(self) -> list[str]:
        own = [] if self.cfg.DATASET.NAME == "ImageNet" else super().templates()
        return [*ENSEMBLE_OF_7, *own]
