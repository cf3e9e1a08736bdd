"""What a training run needs to go on after an interruption as if there had been none."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoints import read_checkpoint, save_atomically
from .run_record import plain_config

if TYPE_CHECKING:
    from .trainer import PromptTrainer

FILE_NAME = "resume.pth"
MAY_CHANGE = {  # settings without a say in the prompts
    "OUTPUT_DIR",
    "RESUME",
    "VERBOSE",
    "USE_CUDA",
    "DATASET.ROOT",
    "DATALOADER.NUM_WORKERS",
    "TRAIN.PRINT_FREQ",
    "TRAIN.CHECKPOINT_FREQ",
}


def save_resume_state(trainer: "PromptTrainer") -> None:
    """Write the state after the current epoch into the output folder.

    Order and augmentation of the images are functions of (seed, epoch, image) and the schedule one of the epoch, so
    prompts and momentum, and what a method keeps besides, are all there is.
    """
    content = {
        "epoch": trainer.epoch + 1,
        "settings": json.dumps(settings_of(plain_config(trainer.cfg))),
        "prompts": trainer.model.prompt_learner.state_dict(),
        "optimizer": trainer.optim.state_dict()["state"],
        "scaler": trainer.scaler.state_dict() if trainer.scaler else {},
        "method": trainer.method_state(),
        "best_result": float(trainer.best_result),
        "phases": trainer.record.phases,
        "agreement": trainer.record.facts.get("agreement", {}),
    }
    save_atomically(Path(trainer.output_dir) / FILE_NAME, content)


def restore_resume_state(trainer: "PromptTrainer", directory: str) -> int:
    """Take up the state that ``directory`` holds, if it holds one.

    Returns:
        The epoch to go on with, from 0.

    Raises:
        FileNotFoundError: if it holds none and is the folder that RESUME names.
        ValueError: if the state is of a run with other settings; these are named.
    """
    file = Path(directory) / FILE_NAME
    if not file.is_file():
        if trainer.cfg.RESUME:
            raise FileNotFoundError(
                f"There is no {file} to go on from. --resume names the output folder of a run that has finished an "
                "epoch; without it a run goes on from its own --output-dir by itself."
            )
        return 0
    content = read_checkpoint(file)
    check_settings(file, json.loads(content["settings"]), settings_of(plain_config(trainer.cfg)))
    trainer.model.prompt_learner.load_state_dict(content["prompts"])
    optimizer = trainer.optim.state_dict()
    trainer.optim.load_state_dict({**optimizer, "state": content["optimizer"]})
    with warnings.catch_warnings():  # torch cannot know that the steps before these were taken by another process
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step.*")
        for _ in range(content["epoch"]):
            trainer.sched.step()
    if trainer.scaler:
        trainer.scaler.load_state_dict(content["scaler"])
    trainer.load_method_state(content["method"])
    trainer.best_result = content["best_result"]
    trainer.record.phases |= {name: phase for name, phase in content["phases"].items() if name == "train"}
    if agreement := content.get("agreement"):  # files of earlier versions have none
        trainer.record.facts["agreement"] = agreement
    print(f"Resuming from {file} after epoch {content['epoch']}")
    return content["epoch"]


def settings_of(config: dict) -> dict[str, object]:
    """The settings of a configuration that prompts depend on, by dotted key, as they look when read from JSON."""
    settings = {key: value for key, value in _flat(config).items() if key not in MAY_CHANGE}
    return json.loads(json.dumps(settings))  # tuples become lists, as in a file


def check_settings(file: Path, before: dict[str, object], now: dict[str, object]) -> None:
    """Refuse to take what ``file`` holds of a run for a part of this one; the settings that differ are listed."""
    changed = [
        f"{key}: {before.get(key, 'absent')} before, {now.get(key, 'absent')} now"
        for key in sorted(before | now)
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise ValueError(
            f"{file} is of a run with other settings, which cannot be continued with these:\n  "
            + "\n  ".join(changed)
            + "\nName another --output-dir, or remove that folder to start over."
        )


def _flat(node: dict, path: str = "") -> dict[str, object]:
    flat = {}
    for key, value in node.items():
        flat |= _flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return flat
