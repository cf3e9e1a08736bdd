"""Compare the trainers with golden numbers of the published implementation.

    python -m tests.parity FILE.json [--case REGEX]

Each case runs through the real trainer: configuration, CLIPs read from files, learned tensors read from a checkpoint
under the published names, evaluation, three training steps. The generator of the weights, ``weights.py``, is taken from
the folder of the file or from ../shared/parity.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY
from safetensors.torch import save_file
from torch import Tensor

import trainers  # noqa: F401
from trainers.kdpl.class_selection import most_likely_classes
from trainers.kdpl.clip_loading import PIXEL_MEAN, PIXEL_STD, load_clip
from trainers.kdpl.config import extend_cfg
from trainers.kdpl.encoders import normalise
from trainers.kdpl.gaussian_averaging import gaussian_weights
from trainers.kdpl.losses import kl_divergences
from trainers.kdpl.templates import ENSEMBLE_OF_60, GENERIC, template_of
from trainers.kdpl.text_features import mean_text_features

ROOT = Path(__file__).parents[1]
TOLERANCE = {"logits": 2e-5, "features": 2e-5, "terms": 2e-5, "lr": 2e-5, "weights": 2e-5, "grad": 2e-4, "params": 1e-5}
TIE = 1e-5  # relative gap of probabilities below which either order of classes is right
CONFIGS = {
    "CoOp": "vit_b32_ctxv1",
    "CoCoOp": "vit_b32_c4_ep10_batch1_ctxv1",
    "VPT": "vit_b32_c2_ep5_batch4_4",
    "MaPLe": "vit_b32_c2_ep5_batch4_2ctx",
    "PromptSRC": "vit_b32_c2_ep20_batch4_4+4ctx",
}


class Errors:
    """The worst relative error of each kind of number, and what else is wrong."""

    def __init__(self):
        self.worst: dict[str, tuple[float, str]] = {}
        self.faults: list[str] = []

    def compare(self, kind: str, what: str, ours: Any, golden: Any, scale: float | None = None) -> None:
        """Note the largest difference of two arrays in units of ``scale``, by default the golden array's largest."""
        ours, golden = (np.asarray(x, dtype=np.float64) for x in (ours, golden))
        if ours.shape != golden.shape:
            self.faults.append(f"{what}: shape {ours.shape} instead of {golden.shape}")
            return
        scale = np.abs(golden).max() if scale is None else scale
        error = float(np.abs(ours - golden).max() / max(scale, 1e-30))
        if not error <= self.worst.get(kind, (-1.0, ""))[0]:
            self.worst[kind] = (error, what)

    def compare_described(self, kind: str, what: str, ours: Tensor, golden: dict, scale: float | None = None) -> None:
        """Compare an array with a description of it: shape, norm, mean, values or samples."""
        flat = ours.detach().double().cpu().reshape(-1).numpy()
        if list(ours.shape) != golden["shape"]:
            self.faults.append(f"{what}: shape {list(ours.shape)} instead of {golden['shape']}")
            return
        self.compare(kind, f"{what} norm", np.linalg.norm(flat), golden["norm"])
        scale = np.abs(flat).max() if scale is None else scale
        self.compare(kind, f"{what} mean", flat.mean(), golden["mean"], scale)
        self.compare(kind, f"{what} first8", flat[:8], golden["first8"], scale)
        if "values" in golden:
            self.compare(kind, f"{what} values", flat, golden["values"], scale)
        if "sample" in golden:
            sample = flat[:: golden["stride"]][: len(golden["sample"])]
            self.compare(kind, f"{what} sample", sample, golden["sample"], scale)

    @property
    def passed(self) -> bool:
        return not self.faults and all(error <= TOLERANCE[kind] for kind, (error, _) in self.worst.items())

    def line(self) -> str:
        parts = [
            f"{kind} {error:.1e}" + (f" (over {TOLERANCE[kind]:.0e}: {what})" if not error <= TOLERANCE[kind] else "")
            for kind, (error, what) in self.worst.items()
        ]
        return ", ".join(parts + self.faults)


def run_case(golden: dict, case: dict, weights: ModuleType, folder: Path) -> Errors:
    """Run one case through its trainer and compare every number that it gives."""
    errors = Errors()
    seed = {name: golden["base_seed"] + offset for name, offset in golden["streams"].items()}
    resolution = golden["resolution"]

    def images(tag: str, n: int) -> Tensor:
        return torch.from_numpy(weights.images(tag, n, resolution, seed["data"]))

    trainer = _trainer(golden, case, weights, seed, folder)
    if not case.get("learnable"):
        _compare_zero_shot(errors, trainer, case, images)
        return errors

    _load_learnable(trainer, case, weights, seed["learnable"], folder)
    trainer.max_epoch = trainer.cfg.OPTIM.MAX_EPOCH
    trainer.before_train()
    names = {name: trainer.model.prompt_learner.official_names.get(name, name) for name, _ in _learned(trainer)}
    _compare_evaluation(errors, "eval_logits_before", trainer, golden, case, images)
    _compare_features(errors, trainer, golden, case, images)
    _compare_prepared(errors, trainer, golden, case)

    n_labels = len(golden["classnames"])
    for k, step in enumerate(case["steps"], start=1):
        trainer.epoch, trainer.batch_idx = k - 1, 0
        n = len(step["labels"])
        label = torch.from_numpy(weights.labels(f"train{k}", n, n_labels, seed["data"]))
        if label.tolist() != step["labels"]:
            errors.faults.append(f"labels of step {k} differ: the generator is another one")
        batch = {"img": images(f"train{k}", n), "label": label}
        errors.compare("lr", f"lr of step {k}", trainer.get_current_lr(), step["lr"])
        terms = _distillation_terms(errors, trainer, case, step, batch, k) if "selected" in step else {}
        n_logits = n * len(step.get("selected", golden["classnames"]))
        terms |= _named_terms(trainer.forward_backward(batch), trainer, n_logits)
        for name, value in step["terms"].items():
            if name in terms:
                errors.compare("terms", f"{name} of step {k}", terms[name], value)
            else:
                errors.faults.append(f"no term {name}")
        if k == 1:
            for name, parameter in _learned(trainer):
                described = case["grad_step1"].get(names[name])
                if parameter.grad is None:
                    if described and described["norm"] > 0:
                        errors.faults.append(f"{name} has no gradient")
                    continue
                errors.compare_described("grad", f"gradient of {name}", parameter.grad, described, described["norm"])
        if case["one_step_per_epoch"]:
            trainer.update_lr()
            trainer.after_epoch()
        if k == 1 and "lr_after_step1" in case:
            errors.compare("lr", "lr after step 1", trainer.get_current_lr(), case["lr_after_step1"])

    for name, parameter in _learned(trainer):
        errors.compare_described("params", f"{name} after step 3", parameter, case["params_after3"][names[name]])
    _compare_evaluation(errors, "eval_logits_after3", trainer, golden, case, images)
    if "gpa_weights" in case:
        node = trainer.cfg.TRAINER.PROMPTSRC
        ours = gaussian_weights(node.GPA_MEAN, node.GPA_STD, len(case["gpa_weights"]))
        errors.compare("weights", "weights of the epochs", ours, case["gpa_weights"])
    return errors


def _trainer(golden: dict, case: dict, weights: ModuleType, seed: dict, folder: Path) -> Any:
    """The case's trainer over generated CLIPs, without a data set."""
    archs = {"student": case["arch"], "teacher": case.get("teacher_arch", "vit_t")}
    files = {}
    for role, arch in archs.items():
        files[role] = folder / f"{role}-{arch.replace('/', '-')}.safetensors"
        state_dict = weights.torch_state_dict(golden["archs"].get(arch, arch), seed[role])
        _check_fingerprints(golden["fingerprints"].get(arch, {}), state_dict)
        save_file({name: tensor.contiguous() for name, tensor in state_dict.items()}, files[role])

    cfg = get_cfg_default()
    extend_cfg(cfg)
    method = case["trainer"].removesuffix("_KDPL")
    if method in CONFIGS:
        cfg.merge_from_file(_config_file(case["trainer"], CONFIGS[method]))
    cfg.merge_from_list(["MODEL.BACKBONE.NAME", str(files["student"]), "TRAINER.KDPL.TEACHER", str(files["teacher"])])
    cfg.merge_from_list(["INPUT.PIXEL_MEAN", PIXEL_MEAN, "INPUT.PIXEL_STD", PIXEL_STD])  # images count as normalised
    cfg.merge_from_list(["INPUT.SIZE", (golden["resolution"],) * 2, "USE_CUDA", False, "SEED", 1])
    for node in ("COOP", "COCOOP", "VPT", "MAPLE", "PROMPTSRC", "KDPL"):
        cfg.merge_from_list([f"TRAINER.{node}.PREC", "fp32"])
    cfg.merge_from_list(["TRAINER.KDPL.CLASS_AGNOSTIC", case["class_agnostic"]])
    if case["class_agnostic"]:
        cfg.merge_from_list(["TRAINER.KDPL.K_MAX", case.get("k_max", golden.get("k_max", 1000))])
    cfg.merge_from_list(case["opts"])
    cfg.merge_from_list(["DATASET.NAME", case["dataset"], "TRAINER.NAME", case["trainer"]])
    cfg.merge_from_list(["OUTPUT_DIR", str(folder / "out")])
    cfg.freeze()

    base = TRAINER_REGISTRY.get(case["trainer"])
    classnames = golden["classnames"]
    vocabulary = case.get("vocabulary", golden.get("vocabulary"))

    class GoldenTrainer(base):
        def build_data_loader(self) -> None:
            self.dm = SimpleNamespace(dataset=SimpleNamespace(train_x=[], classnames=classnames))
            self.num_classes, self.lab2cname = len(classnames), dict(enumerate(classnames))
            self.train_loader_x = self.val_loader = self.test_loader = None

        def look_at_agreement(self) -> None:
            """There are no image files to look at."""

        def training_classnames(self) -> list[str]:
            return vocabulary if case["class_agnostic"] else classnames

    return GoldenTrainer(cfg)


def _config_file(trainer: str, name: str) -> Path:
    """The shipped configuration; a supervised method without one of its own takes that of its KDPL variant."""
    method = trainer.removesuffix("_KDPL")
    candidates = [ROOT / "configs" / "trainers" / folder / f"{name}.yaml" for folder in (trainer, f"{method}_KDPL")]
    return next(file for file in candidates if file.is_file())


def _check_fingerprints(fingerprints: dict, arrays: dict[str, Tensor]) -> None:
    for name, fingerprint in fingerprints.items():
        array = arrays[name].double()
        same_sum = math.isclose(float(array.sum()), fingerprint["sum"], rel_tol=1e-6, abs_tol=1e-6)
        if list(array.shape) != fingerprint["shape"] or not same_sum:
            raise ValueError(f"weights.py makes another {name} than the golden file was made with.")


def _load_learnable(trainer: Any, case: dict, weights: ModuleType, seed: int, folder: Path) -> None:
    """Hand the generated tensors over as a published checkpoint."""
    state = {
        name: torch.from_numpy(weights.tensor(name, facts["shape"], seed)) for name, facts in case["learnable"].items()
    }
    checkpoint = folder / "published" / case["registered_model"] / "model.pth.tar-1"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "epoch": 1}, checkpoint)
    trainer.load_model(str(folder / "published"), epoch=1)


def _learned(trainer: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return list(trainer.model.prompt_learner.named_parameters())


def _names(trainer: Any, golden: dict, n: int) -> list[str]:
    """The classes that an array of ``n`` rows or columns is about: the data set's, else those of training."""
    return golden["classnames"] if n == len(golden["classnames"]) else trainer.training_classnames()


@torch.no_grad()
def _compare_evaluation(errors: Errors, field: str, trainer: Any, golden: dict, case: dict, images: Any) -> None:
    names = _names(trainer, golden, len(case[field][0]))
    with trainer.model.classes(names), trainer.model.fixed_prompts():
        logits = trainer.model(images("eval", len(case[field])))
    errors.compare("logits", field, logits, case[field])


@torch.no_grad()
def _compare_features(errors: Errors, trainer: Any, golden: dict, case: dict, images: Any) -> None:
    model, described = trainer.model, case.get("features_before", {})
    eval_images = images("eval", len(case["eval_logits_before"]))
    prompts = model.prompt_learner()
    image_features = model.image_encoder(eval_images, prompts.visual, prompts.deep_visual)
    if "image" in described:
        errors.compare_described("features", "image features", image_features, described["image"])
    if "text" in described:
        prompts = model.prompt_learner.for_images(prompts, normalise(image_features))
        n_groups = len(prompts.ctx) if model.prompt_learner.depends_on_image else 1
        with model.classes(_names(trainer, golden, described["text"]["shape"][0] // n_groups)):
            text_features = model.encode_text(prompts).flatten(0, 1)
        errors.compare_described("features", "text features", text_features, described["text"])


@torch.no_grad()
def _compare_prepared(errors: Errors, trainer: Any, golden: dict, case: dict) -> None:
    prepared = case.get("prepared") or {}
    names = trainer.training_classnames()
    if "teacher_text_features" in prepared:
        template = GENERIC if case["class_agnostic"] else template_of(case["dataset"])
        ours = mean_text_features(load_clip(trainer.cfg.TRAINER.KDPL.TEACHER), names, [template], trainer.precision)
        errors.compare_described("features", "teacher's text", ours, prepared["teacher_text_features"])
    if "fixed_text_features" in prepared:
        with trainer.model.classes(_names(trainer, golden, prepared["fixed_text_features"]["shape"][0])):
            ours = trainer.model.encode_text(trainer.model.prompt_learner())[0]
        errors.compare_described("features", "fixed text", ours, prepared["fixed_text_features"])
    if "zero_shot_text_mean" in prepared:
        ours = mean_text_features(trainer.student, names, ENSEMBLE_OF_60, trainer.precision)
        errors.compare_described("features", "zero-shot text", ours, prepared["zero_shot_text_mean"])


@torch.no_grad()
def _distillation_terms(
    errors: Errors, trainer: Any, case: dict, step: dict, batch: dict, k: int
) -> dict[str, float]:
    teacher_logits = trainer.teacher(batch["img"])
    if k == 1 and "teacher_logits_step1" in case:
        errors.compare("logits", "teacher_logits_step1", teacher_logits, case["teacher_logits_step1"])
    selected = most_likely_classes(teacher_logits, trainer.max_classes)
    differ = set(selected.tolist()) ^ set(step["selected"])
    gap = step.get("selection_gap", case.get("selection_gap", math.inf))
    if differ and gap >= TIE:
        errors.faults.append(f"classes of step {k} differ: {sorted(differ)}")
    forward, reverse = kl_divergences(trainer.model(batch["img"], selected), teacher_logits[:, selected])
    return {"kl_forward": float(forward), "kl_reverse": float(reverse)}


def _named_terms(losses: dict[str, Tensor], trainer: Any, n_logits: int) -> dict[str, float]:
    """The trainer's terms under the golden file's names, before their weights."""
    losses = {name: value.item() for name, value in losses.items()}
    terms = {"cross_entropy": losses.get("loss_labels", losses["loss"])}
    if "loss_text" in losses:
        node = trainer.cfg.TRAINER.PROMPTSRC
        terms["text_l1_mean"] = losses["loss_text"] / node.TEXT_LOSS_WEIGHT
        terms["image_l1_mean"] = losses["loss_image"] / node.IMAGE_LOSS_WEIGHT
        terms["zs_kl_per_element"] = losses["loss_logits"]
        terms["zs_kl_sum"] = losses["loss_logits"] * n_logits
    return terms


@torch.no_grad()
def _compare_zero_shot(errors: Errors, trainer: Any, case: dict, images: Any) -> None:
    logits = trainer.model_inference(images("eval", len(case["eval_logits_before"])))
    errors.compare("logits", "eval_logits_before", logits, case["eval_logits_before"])
    described = case.get("text_features", case.get("features_before", {}).get("text"))
    if isinstance(described, dict) and "norm" in described:
        errors.compare_described("features", "text features", trainer.model.text_features, described)


def _weights_module(file: Path) -> ModuleType:
    for folder in (file.parent, ROOT.parent / "shared" / "parity"):
        if (folder / "weights.py").is_file():
            spec = importlib.util.spec_from_file_location("golden_weights", folder / "weights.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError(f"weights.py, which makes the models, is neither beside {file} nor in ../shared/parity.")


def run_file(file: Path, pattern: str = "") -> Iterator[tuple[str, Errors]]:
    """Run the cases of a golden file whose names match."""
    golden = json.loads(file.read_text())
    weights = _weights_module(file)
    for name, case in golden["cases"].items():
        if re.search(pattern, name):
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
                errors = run_case(golden, case, weights, Path(folder))
            yield name, errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="golden numbers, JSON")
    parser.add_argument("--case", default="", metavar="REGEX", help="run the cases whose names match")
    args = parser.parse_args()
    passed = failed = 0
    for name, errors in run_file(args.file, args.case):
        print(f"{'PASS' if errors.passed else 'FAIL'} {name}: worst relative error: {errors.line()}", flush=True)
        passed, failed = passed + errors.passed, failed + (not errors.passed)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
