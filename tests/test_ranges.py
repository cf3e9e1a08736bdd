"""Every setting has a range, and values outside it are refused before anything starts."""

import time

import pytest

from kdpl.methods import METHODS
from kdpl.ranges import is_plain, real, several, text, whole
from kdpl.settings import flat
from trainers.kdpl.config import RANGES
from trainers.kdpl.configuration import build_cfg

from .conftest import ROOT

CONFIGS = ROOT / "configs" / "trainers"


@pytest.mark.parametrize(
    "key, value",
    [
        ("DATASET.NUM_SHOTS", "0"),
        ("DATASET.NUM_SHOTS", "-2"),
        ("OPTIM.MAX_EPOCH", "0"),
        ("OPTIM.MAX_EPOCH", "1000000000"),
        ("TEST.SPLIT", "tset"),
        ("TEST.FINAL_MODEL", "best"),
        ("TRAIN.PRINT_FREQ", "0"),
        ("INPUT.RRCROP_SCALE", "(1.0,0.08)"),
        ("INPUT.RRCROP_SCALE", "(0.5,)"),
        ("INPUT.SIZE", "(0,32)"),
        ("INPUT.TRANSFORMS", "['random_filp']"),
        ("DATALOADER.NUM_WORKERS", "1000"),
        ("DATALOADER.TRAIN_X.BATCH_SIZE", "0"),
        ("DATALOADER.TEST.BATCH_SIZE", "-1"),
        ("OPTIM.LR", "-0.1"),
        ("OPTIM.LR", "1e400"),
        ("OPTIM.NAME", "sdg"),
        ("SEED", str(2**32)),
        ("OUTPUT_DIR", ""),
        ("OUTPUT_DIR", "a\0b"),
        ("TRAINER.COOP.N_CTX", "0"),
        ("TRAINER.MAPLE.PROMPT_DEPTH", "-3"),
        ("TRAINER.COOP.CLASS_TOKEN_POSITION", "start"),
        ("TRAINER.KDPL.K_MAX", "0"),
        ("TRAINER.PROMPTSRC.GPA_STD", "0"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_key_and_what_is_possible(key, value):
    with pytest.raises(ValueError, match=f"^{key} is .*; (it takes|choose from) "):
        build_cfg([], {}, [key, value])


@pytest.mark.parametrize("key", RANGES)
def test_no_setting_accepts_none(key):
    with pytest.raises(ValueError, match=f"^{key} (is None; (it takes|choose from)|cannot be)"):
        build_cfg([], {}, [key, "None"])


def test_every_default_is_in_its_range():
    cfg = build_cfg([], {})
    assert RANGES.keys() <= flat(cfg).keys()


def test_the_check_costs_under_fifty_milliseconds():
    from kdpl.ranges import check_all

    values = flat(build_cfg([], {}))
    start = time.perf_counter()
    check_all(values, RANGES, values)
    assert time.perf_counter() - start < 0.05


def test_the_configuration_of_another_method_is_refused():
    for file in (CONFIGS / "MaPLe" / "demo.yaml", CONFIGS / "CoCoOp_KDPL" / "demo.yaml"):
        with pytest.raises(ValueError, match=f"{file} is for .*, but the trainer is CoOp_KDPL"):
            build_cfg([str(file)], {"TRAINER.NAME": "CoOp_KDPL"})
        build_cfg([str(file)], {"TRAINER.NAME": "ZeroshotCLIP"})
    build_cfg([str(CONFIGS / "CoOp" / "demo.yaml")], {"TRAINER.NAME": "CoOp_KDPL"})


def test_a_nested_value_is_refused_without_a_crash():
    with pytest.raises(ValueError, match="INPUT.SIZE cannot be"):
        build_cfg([], {}, ["INPUT.SIZE", "(" * 5000])


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_the_library_has_the_same_ranges(method):
    for name, setting in method.all_settings.items():
        setting.range.check(name, setting.default)
        with pytest.raises(ValueError, match=f"{name} of {method.name} is None; (it takes|choose from)"):
            method.complete({name: None})


def test_ranges_hold_what_they_say():
    assert whole(1, 5, -1).holds(-1) and not whole(1, 5).holds(True) and not whole(1, 5).holds(2.0)
    assert real(above=0).holds(1) and not real(above=0).holds(0) and not real().holds(float("nan"))
    assert several(whole(0), 2, rising=True).holds((1, 2)) and not several(whole(0), 2, rising=True).holds([2, 1])
    assert text().holds("") and not text(empty=False).holds(" ") and not is_plain("a\x07") and not is_plain("\udcff")
