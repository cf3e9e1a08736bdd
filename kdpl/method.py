"""What a method of prompt learning consists of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .clip.loaded import LoadedCLIP
from .clip.loading import why_no_prompts
from .clip.templates import template_of
from .distillation.gaussian_averaging import GaussianAverage
from .distillation.regularisers import Regulariser
from .prompts import PromptLearner
from .ranges import Range


class Setting(NamedTuple):
    """A setting of a method."""

    key: str  # in a configuration, below the method's node
    default: Any  # published value, used by the library
    range: Range
    meaning: str
    key_default: Any = None  # value in a configuration that does not set the key; None: the published value


@dataclass(frozen=True)
class Method:
    """A way to learn prompts.

    >>> import kdpl
    >>> kdpl.METHODS["KgCoOp"].complete({"weight": 4.0})
    {'n_ctx': 4, 'ctx_init': 'a photo of a', 'weight': 4.0}

    Attributes:
        name: such as "CoOp"; its trainers are ``name`` and ``name_KDPL``.
        source: paper and year.
        learner: owns the learned tensors.
        settings: the learner's settings, by argument name.
        epochs, batch_size, lr: as published.
        config: name of its configuration files, with {} for the student, such as vit_b32.
        config_for_transfer: the configuration for prompts that will be used on other datasets, if it differs.
        registered_name: the folder of its checkpoints, as in the published code.
        regulariser: adds terms to the loss, with ``regulariser_settings``.
        averages: whether prompts are averaged over epochs, with ``averaging_settings``.
        templates: hand-written prompts, for datasets where the method's differ from zero-shot CLIP's.
    """

    name: str
    source: str
    learner: type[PromptLearner]
    settings: Mapping[str, Setting]
    epochs: int
    batch_size: int
    lr: float
    config: str
    config_for_transfer: str = ""
    registered_name: str = "prompt_learner"
    regulariser: type[Regulariser] | None = None
    regulariser_settings: Mapping[str, Setting] = field(default_factory=dict)
    averages: bool = False
    averaging_settings: Mapping[str, Setting] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)

    @property
    def node(self) -> str:
        """The name of its node below TRAINER in a configuration."""
        return self.name.upper()

    @property
    def all_settings(self) -> dict[str, Setting]:
        return {**self.settings, **self.regulariser_settings, **self.averaging_settings}

    @property
    def keys(self) -> dict[str, tuple[Any, Range]]:
        """Default and range of each key below its node in a configuration."""
        settings = self.all_settings.values()
        return {s.key: (s.default if s.key_default is None else s.key_default, s.range) for s in settings}

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All settings: the given ones, and published values for the rest.

        Raises:
            ValueError: if a setting does not exist or is out of range.
        """
        if unknown := sorted(given.keys() - self.all_settings.keys()):
            raise ValueError(f"{self.name} has no setting {unknown[0]!r}; it has {', '.join(self.all_settings)}.")
        for name, value in given.items():
            self.all_settings[name].range.check(f"{name} of {self.name}", value)
        return {name: given.get(name, setting.default) for name, setting in self.all_settings.items()}

    def check_student(self, name: str) -> None:
        """Refuse a student that cannot take the method's prompts, judging by its name: nothing is downloaded.

        Raises:
            ValueError: if the method puts prompts into a tower without support for them, such as a ResNet.
        """
        if not (why := why_no_prompts(name, text=True, visual=self.learner.learns_visual)):
            return
        if why_no_prompts(name, text=True):
            tower, advice = "a text tower", "It can be a teacher (TRAINER.KDPL.TEACHER). Choose ViT-B/32 or another"
        else:
            others = [method.name for method in METHODS.values() if not method.learner.learns_visual]
            tower = "a ViT"
            advice = f"Train {', '.join(others)} on it, or choose ViT-B/32 or another"
        raise ValueError(
            f"{self.name} puts prompts into {tower}, and the student (MODEL.BACKBONE.NAME) is {name!r}: {why}. "
            f"{advice} student; `kdpl models` lists which prompts each takes."
        )

    def is_class_specific(self, settings: Mapping[str, Any]) -> bool:
        """Whether each class has its own context, so that the prompts work for these classes only."""
        return bool(settings.get("class_specific") and not settings["ctx_init"])

    def check_class_agnostic(self, settings: Mapping[str, Any]) -> None:
        """Refuse class-specific contexts in class-agnostic training: the evaluated classes would have no context.

        Raises:
            ValueError: if the settings ask for them.
        """
        if self.is_class_specific(settings):
            raise ValueError(
                f"Class-specific contexts (TRAINER.{self.node}.CSC) are tied to the training classes, but "
                "class-agnostic training (TRAINER.KDPL.CLASS_AGNOSTIC) trains on a vocabulary and evaluates on the "
                "dataset's classes. Switch one of them off."
            )

    def template(self, dataset: str, template: str = "") -> str:
        """``template`` if it is set, else the method's hand-written prompt for the dataset."""
        return template or self.templates.get(dataset) or template_of(dataset)

    def build_learner(
        self, clip: LoadedCLIP, settings: Mapping[str, Any], n_cls: int | None = None, seed: int = 1
    ) -> PromptLearner:
        """The prompt learner for a student.

        Args:
            settings: complete, see :meth:`complete`.
            n_cls: number of classes, for class-specific contexts.
            seed: for random initial values.
        """
        own = {name: settings[name] for name in self.settings}
        if own.pop("class_specific", False):
            own["n_cls"] = n_cls
        return self.learner(clip, seed=seed, **own)

    def build_regulariser(
        self, clip: LoadedCLIP, settings: Mapping[str, Any], classnames: Sequence[str], template: str, **computation
    ) -> Regulariser | None:
        """The method's additional loss terms, if it has any.

        Args:
            clip: the student, without prompts.
            template: the dataset's hand-written prompt.
            computation: precision, and whether each step covers a subset of the classes; see :class:`Regulariser`.
        """
        if self.regulariser is None:
            return None
        weights = {name: settings[name] for name in self.regulariser_settings}
        return self.regulariser(clip, classnames, template, **weights, **computation)

    def build_average(self, settings: Mapping[str, Any], n_epochs: int) -> GaussianAverage | None:
        """The average of the prompts over epochs, if the method uses one."""
        if not self.averages:
            return None
        return GaussianAverage(n_epochs=n_epochs, **{name: settings[name] for name in self.averaging_settings})


METHODS: dict[str, Method] = {}  # by name; methods.py has the entries
