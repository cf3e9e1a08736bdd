"""Files that declare sweeps."""

import pytest
import yaml

from tools.sweep.protocols import NAMES, SHIFTED
from tools.sweep.spec import parse_spec, read_spec

from .conftest import ROOT

SMALL = {
    "protocol": "base2new",
    "datasets": ["dtd", "eurosat"],
    "students": {"ViT-B/32": ["CoOp"]},
    "settings": ["labels", "kdpl"],
}
OF_THE_PAPER = ("CoOp", "CoCoOp", "VPT", "MaPLe", "PromptSRC")
ELEVEN = {
    "imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101", "fgvc_aircraft", "sun397",
    "dtd", "eurosat", "ucf101",
}  # fmt: skip
OF_THE_PAPER = ("CoOp", "CoCoOp", "VPT", "MaPLe", "PromptSRC")


def test_a_block_has_the_papers_seeds_and_shots_unless_it_says_otherwise():
    (block,) = parse_spec(SMALL).blocks
    assert (block.seeds, block.shots) == ((1, 2, 3), (16,))
    (block,) = parse_spec(SMALL | {"seeds": 2, "shots": [1, 4, 1]}).blocks
    assert (block.seeds, block.shots) == ((2,), (1, 4))


def test_a_protocol_knows_its_datasets_and_shots():
    def block(**changes):
        spec = {key: value for key, value in SMALL.items() if key != "datasets"} | changes
        return parse_spec(spec).blocks[0]

    assert set(block().datasets) == ELEVEN and block(protocol="few_shot").shots == (1, 2, 4, 8, 16)
    assert block(protocol="cross_dataset", source="shapes").datasets[-1] == "shapes_sketch"
    assert set(block(protocol="domain_generalization", source="imagenet").datasets) == set(SHIFTED["imagenet"])
    with pytest.raises(ValueError, match="Only imagenet and shapes have shifted datasets; for dtd, name"):
        block(protocol="domain_generalization", source="dtd")


@pytest.mark.parametrize("file, name", NAMES.items())
def test_the_names_of_datasets_are_those_of_their_files(file, name):
    assert yaml.safe_load((ROOT / "configs" / "datasets" / f"{file}.yaml").read_text())["DATASET"]["NAME"] == name


def test_blocks_share_the_keys_next_to_them_and_may_override_them():
    content = SMALL | {"blocks": [{"protocol": "few_shot", "datasets": "dtd"}, {"seeds": [7]}], "output": "elsewhere"}
    spec = parse_spec(content)
    assert spec.output == "elsewhere"
    assert [block.protocol for block in spec.blocks] == ["few_shot", "base2new"]
    assert [block.datasets for block in spec.blocks] == [("dtd",), ("dtd", "eurosat")]
    assert [block.seeds for block in spec.blocks] == [(1, 2, 3), (7,)]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"protocol": "base_to_new"}, r"no protocol 'base_to_new'.*protocol takes base2new, cross_dataset, domain"),
        ({"protokol": "base2new"}, r"no key 'protokol' \(did you mean 'protocol'\?\)"),
        ({"settings": ["kdlp"]}, r"no setting 'kdlp' \(did you mean 'kdpl'.*settings takes kdpl, kdpl_ca, labels"),
        ({"students": {"RN50": ["CoOP"]}}, r"no method 'CoOP' \(did you mean 'CoOp'"),
        ({"students": ["RN50"]}, "students is .*it takes `key: value` pairs"),
        ({"students": {}}, "There is no students"),
        ({"seeds": ["one"]}, "seeds is .*it takes one value or a list of them, each a whole number from 0"),
        ({"seeds": [True]}, "seeds is .*it takes one value or a list of them, each a whole number from 0"),
        ({"seeds": []}, "seeds is .*it takes one value or a list"),
        ({"seeds": [1, -1]}, "seeds is .1, -1.; .*each a whole number from 0"),
        ({"shots": [16, 0]}, "shots is .16, 0.; .*each a whole number from 1 to .*, or -1"),
        ({"students": {50: ["CoOp"]}}, "the name of a student is 50; it takes text"),
        ({"teacher": ["RN50", "RN101"]}, "teacher is .*; it takes text"),
        ({"protocol": "cross_dataset", "source": ["dtd"]}, "source is .*; it takes text"),
        ({"cfgs": {"CoOp": 3}}, "cfgs: CoOp is 3; it takes text"),
        ({"datasets": []}, "datasets is .*it takes one value or a list"),
        ({"protocol": "cross_dataset"}, "cross_dataset needs a source"),
        ({"source": "imagenet"}, "base2new has no source"),
        ({"epochs": {"coop": 3}}, r"no method 'coop' \(did you mean 'CoOp'.*; epochs takes"),
        ({"epochs": 3}, "epochs is 3; it takes `key: value` pairs"),
        ({"epochs": {"CoOp": 0}}, "epochs: CoOp is 0; it takes a whole number from 1"),
        ({"epochs": {"CoOp": "two"}}, "epochs: CoOp is 'two'"),
        ({"options": {"SEED": 7}}, "options has SEED, which a sweep sets for each run"),
        ({"blocks": {}}, "blocks is .*a list of blocks"),
        ({"blocks": ["base2new"]}, "a block is 'base2new'"),
        ({"threads": "two"}, "threads is 'two'"),
        ({"threads": True}, "threads is True"),
        ({"output": 3}, "output is 3; it takes text"),
    ],
)
def test_errors_list_the_alternatives(change, message):
    with pytest.raises(ValueError, match=message):
        parse_spec(SMALL | change)


def test_a_file_that_is_absent_or_broken_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no sweep configs/sweeps/dmo.yaml; configs/sweeps holds .*demo.yaml"):
        read_spec("configs/sweeps/dmo.yaml")
    for text in ("a: [", "- just a list", ""):
        (tmp_path / "broken.yaml").write_text(text)
        with pytest.raises(ValueError, match="broken.yaml"):
            read_spec(tmp_path / "broken.yaml")


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "sweeps").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_shipped_files_are_read(file):
    assert read_spec(file).blocks
    assert f"configs/sweeps/{file.name}" in file.read_text().splitlines()[0] + file.read_text().splitlines()[1]


def test_the_papers_tables_are_whole():
    folder = ROOT / "configs" / "sweeps"
    (base2new,) = read_spec(folder / "paper_base2new.yaml").blocks
    assert set(base2new.datasets) == ELEVEN and base2new.protocol == "base2new"
    (transfer,) = read_spec(folder / "paper_cross_dataset.yaml").blocks
    assert set(transfer.datasets) == ELEVEN - {"imagenet"} and transfer.source == "imagenet"
    (shifts,) = read_spec(folder / "paper_domain_generalization.yaml").blocks
    assert set(shifts.datasets) == {"imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"}
    assert read_spec(folder / "paper_transfer.yaml").blocks == (transfer, shifts)
    for block in (base2new, transfer, shifts):
        assert block.students == {"ViT-B/32": OF_THE_PAPER, "RN50": ("CoOp", "CoCoOp")}
        assert (block.seeds, block.shots) == ((1, 2, 3), (16,))
        assert block.teacher == "open_clip:ViT-H-14-quickgelu/dfn5b"
        assert {"labels", "kdpl", "kdpl_ca", "zeroshot_student", "zeroshot_teacher"} <= set(block.settings)


def test_the_demo_has_all_protocols_methods_and_settings_with_two_seeds():
    blocks = read_spec(ROOT / "configs" / "sweeps" / "demo.yaml").blocks
    assert {block.protocol for block in blocks} == {"base2new", "cross_dataset", "domain_generalization"}
    for block in blocks:
        assert block.students == {"demo:student": OF_THE_PAPER} and block.seeds == (1, 2)
        assert set(block.settings) == {"labels", "kdpl", "kdpl_ca", "zeroshot_student", "zeroshot_teacher"}


def test_yaml_keeps_the_options_as_train_py_takes_them():
    text = yaml.safe_load('{OPTIM.LR: 0.01, INPUT.SIZE: "(32, 32)"}')
    (block,) = parse_spec(SMALL | {"options": text}).blocks
    assert block.options == {"OPTIM.LR": 0.01, "INPUT.SIZE": "(32, 32)"}
