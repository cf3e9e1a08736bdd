"""CLIPs of other libraries as students and teachers: preprocessing, weights in any layout, names and licences."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import kdpl
import train
from kdpl.__main__ import main
from kdpl.clip.catalogue import models
from kdpl.clip.licences import terms_of
from kdpl.clip.loading import known_preprocessing, load_clip, why_no_prompts
from kdpl.clip.zero_shot import ZeroShotClassifier
from kdpl.methods import METHODS
from tools.models.families import random_member

from . import other_libraries
from .conftest import ROOT
from .other_libraries import NAMES, QUICK, family, open_clip, transformers
from .tiny_clip import tiny_clip

photos, folder = other_libraries.photos, other_libraries.folder  # fixtures


def test_a_mobileclip2_student_learns_from_a_siglip2_teacher_on_real_images(shared, tmp_path):
    student, _ = random_member(family("MobileCLIP2-S0"), tmp_path, small=True)
    teacher, _ = random_member(family("ViT-B-32-SigLIP2-256"), tmp_path, small=True)
    pictures = sorted((shared / "data/mini/cifar10/train").rglob("*.jpg"))[::250]
    names = sorted(folder.name for folder in (shared / "data/mini/cifar10/train").iterdir())
    output = tmp_path / "prompts.safetensors"
    learned = kdpl.distill(
        pictures, names, student=student.name, teacher=teacher.name, output=output, **QUICK | {"batch_size": 4}
    )
    before = METHODS["CoOp"].build_learner(student, METHODS["CoOp"].complete({})).ctx
    assert not torch.equal(learned.model.prompt_learner.ctx, before)
    assert kdpl.load(output, device="cpu").predict(pictures[:2])[0].classname in names


# Images


@pytest.mark.parametrize(
    "name, size, mean, resize, interpolation",
    [
        ("ViT-B/16", 224, 0.48145466, "shortest", "bicubic"),
        ("open_clip:MobileCLIP2-S0/dfndr2b", 256, 0.0, "shortest", "bilinear"),
        ("open_clip:ViT-B-16-SigLIP2/webli", 224, 0.5, "squash", "bicubic"),
        ("open_clip:ViT-H-14-378-quickgelu/dfn5b", 378, 0.48145466, "squash", "bicubic"),
        ("open_clip:ViT-L-14/laion2b_s32b_b82k", 224, 0.5, "shortest", "bicubic"),
    ],
)
def test_a_name_determines_the_preprocessing(name, size, mean, resize, interpolation):
    known = known_preprocessing(name)
    assert (known.size, known.mean[0], known.resize, known.interpolation) == (size, mean, resize, interpolation)


def run_of(photos: Path, student: Path, output: Path, *pairs: object) -> int:
    (photos / "classnames.txt").write_text("\n".join(NAMES))
    arguments = [
        "--root", photos, "--seed", 1, "--trainer", "CoOp_KDPL", "--output-dir", output, "--backbone", student,
        "--dataset-config-file", ROOT / "configs/datasets/folder.yaml",
        "--config-file", ROOT / "configs/trainers/CoOp_KDPL/laion_vit_b16_ctxv1.yaml",
        "OPTIM.MAX_EPOCH", 1, "DATALOADER.TRAIN_X.BATCH_SIZE", 2, "DATALOADER.NUM_WORKERS", 0,
        "TRAINER.KDPL.TEACHER", "demo:teacher", "TRAINER.COOP.PREC", "fp32", "TRAINER.KDPL.PREC", "fp32", *pairs,
    ]  # fmt: skip
    return train.main([str(argument) for argument in arguments])


def test_images_are_preprocessed_for_the_student_unless_the_user_says_otherwise(folder, photos, tmp_path, capsys):
    assert run_of(photos, folder, tmp_path / "run", "TRAINER.KDPL.TEACHER_SCALE", "own") == 0, capsys.readouterr().err
    record = json.loads((tmp_path / "run/results.json").read_text())
    assert record["preprocessing"] == {
        "size": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "resize": "squash", "interpolation": "bilinear",
    }  # fmt: skip
    assert record["config"]["INPUT"]["SIZE"] == []  # unset, which is not the same as 224
    library = kdpl.distill(photos, NAMES, student=str(folder), teacher="demo:teacher", teacher_scale="own", **QUICK)
    trained = load_file(tmp_path / "run/prompts.safetensors")["ctx"]
    torch.testing.assert_close(library.model.prompt_learner.ctx, trained, rtol=0, atol=0)
    teacher = kdpl.load(tmp_path / "run/prompts.safetensors", device="cpu").description["teacher"]
    assert teacher["scale"] == "own" and "in the paper" in teacher["departure"]

    assert run_of(photos, folder, tmp_path / "other", "INPUT.SIZE", "(224,224)") == 2
    assert "takes images of 32 x 32" in capsys.readouterr().err
    assert run_of(photos, folder, tmp_path / "mean", "INPUT.PIXEL_MEAN", "[0.1,0.2,0.3]") == 0
    kept = json.loads((tmp_path / "mean/results.json").read_text())["preprocessing"]
    assert (kept["mean"], kept["std"]) == ([0.1, 0.2, 0.3], [0.25] * 3)


def test_a_teacher_gets_images_in_its_own_resolution_interpolation_and_pixels(folder):
    clip = load_clip(str(folder))
    teacher = ZeroShotClassifier(clip, NAMES, device="cpu", pixel_mean=(0.0,) * 3, pixel_std=(1.0,) * 3)
    pixels = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    resized = torch.nn.functional.interpolate(pixels, size=(32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(clip.model.encode_image((resized - 0.5) / 0.25), dim=-1)
    torch.testing.assert_close(teacher.image_features(pixels), expected, rtol=1e-4, atol=1e-5)


# Names and weights


def test_openais_weights_are_the_same_student_in_the_files_of_every_library(photos, tmp_path):
    """One model in OpenAI's layout, as a checkpoint of open_clip and as a CLIPModel; they share prompts."""
    weights = {name: tensor.float().contiguous() for name, tensor in tiny_clip().state_dict().items()}
    save_file(weights, tmp_path / "openai.safetensors")
    config = {"embed_dim": 32, "quick_gelu": True,
              "vision_cfg": {"image_size": 32, "layers": 4, "width": 128, "patch_size": 8},
              "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1,
                           "layers": 4}}  # fmt: skip
    for name, quick_gelu in (("KDPL-as-openai", True), ("KDPL-with-gelu", False)):
        (tmp_path / f"{name}.json").write_text(json.dumps(config | {"quick_gelu": quick_gelu}))
        open_clip.add_model_config(tmp_path / f"{name}.json")
    tower = {"num_hidden_layers": 4}
    converted = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=tower | {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 1},
            vision_config=tower | {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 2,
                                   "image_size": 32, "patch_size": 8},
            projection_dim=32,
        )
    )  # fmt: skip
    converted.load_state_dict(in_the_layout_of_transformers(weights), strict=False)
    converted.save_pretrained(tmp_path / "hub")
    names = [str(tmp_path / "openai.safetensors"), f"open_clip:KDPL-as-openai/{tmp_path / 'openai.safetensors'}",
             str(tmp_path / "hub"), str(tmp_path / "hub" / "model.safetensors")]  # fmt: skip
    clips = [load_clip(name) for name in names]
    assert len({clip.fingerprint for clip in clips}) == 1
    other = load_clip(f"open_clip:KDPL-with-gelu/{tmp_path / 'openai.safetensors'}")
    assert other.fingerprint != clips[0].fingerprint  # the same tensors, another activation
    prompts = tmp_path / "prompts.safetensors"
    learned = kdpl.distill(photos, NAMES, student=names[0], teacher="demo:teacher", output=prompts, **QUICK)
    pictures = sorted(photos.glob("*.jpg"))
    for name in names:
        loaded = kdpl.load(prompts, student=name, device="cpu")
        torch.testing.assert_close(loaded.logits(pictures), learned.logits(pictures), rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="does not belong to this student"):
        kdpl.load(prompts, student=other.name, device="cpu")


def in_the_layout_of_transformers(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Written out for this test, from the documentation of CLIPModel."""
    found = {
        "logit_scale": weights["logit_scale"],
        "text_projection.weight": weights["text_projection"].T,
        "visual_projection.weight": weights["visual.proj"].T,
        "text_model.embeddings.token_embedding.weight": weights["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": weights["positional_embedding"],
        "vision_model.embeddings.class_embedding": weights["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": weights["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": weights["visual.positional_embedding"],
    }
    for theirs, ours in (("text_model.final_layer_norm", "ln_final"), ("vision_model.pre_layrnorm", "visual.ln_pre"),
                         ("vision_model.post_layernorm", "visual.ln_post")):  # fmt: skip
        found |= {f"{theirs}.{kind}": weights[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    parts = {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2",
             "self_attn.out_proj": "attn.out_proj"}  # fmt: skip
    for tower, prefix in (("text_model", "transformer"), ("vision_model", "visual.transformer")):
        for i in range(4):
            block, layer = f"{prefix}.resblocks.{i}", f"{tower}.encoder.layers.{i}"
            for kind in ("weight", "bias"):
                found |= {f"{layer}.{a}.{kind}": weights[f"{block}.{b}.{kind}"] for a, b in parts.items()}
                joined = weights[f"{block}.attn.in_proj_{kind}"].chunk(3)
                found |= {f"{layer}.self_attn.{w}_proj.{kind}": t for w, t in zip("qkv", joined, strict=True)}
    return {name: tensor.contiguous() for name, tensor in found.items()}


def test_names_determine_which_prompts_a_clip_takes_and_all_tagged_licences_are_known():
    assert why_no_prompts("open_clip:MobileCLIP2-S0/dfndr2b", visual=True) == "its image tower is timm's fastvit_mci0"
    assert "ResNet" in why_no_prompts("open_clip:RN50-quickgelu/openai", visual=True)
    assert "Hugging Face" in why_no_prompts("open_clip:roberta-ViT-B-32/laion2b_s12b_b32k", text=True)
    assert not why_no_prompts("open_clip:ViT-L-14-CLIPA/datacomp1b", text=True, visual=True)
    known = {model.name: model for model in models()}
    assert all(model.licence for model in known.values())
    assert "no commercial use" in known["open_clip:ViT-H-14-worldwide/metaclip2_worldwide"].licence
    assert terms_of("open_clip:MobileCLIP2-S0/dfndr2b") == {"licence": "apple-amlr (research only)"}
    assert terms_of("demo:student") == {}  # as before there were other licences
    assert known["ViT-B/32"].visual_prompts and not known["RN50"].visual_prompts


def test_kdpl_models_lists_names_and_refuses_unknown_ones(capsys):
    assert main(["models", "siglip2"]) == 0
    assert "open_clip:ViT-B-16-SigLIP2/webli" in capsys.readouterr().out
    assert main(["models", "no such model"]) == 2


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda config: config.update(model_type="siglip"), "type 'siglip'"),
        (lambda config: config["text_config"].update(hidden_act="relu"), "activations are"),
        (lambda config: config["text_config"].update(num_hidden_layers=3), "does not match its config"),
    ],
)
def test_folders_of_other_models_are_refused_with_the_reason(change, message, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    change(config)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        load_clip(str(copy))


def test_a_text_that_the_tokenizer_would_cut_is_refused(tmp_path):
    clip, _ = random_member(family("ViT-L-14-CLIPA"), tmp_path, small=True)  # start token, no end token, 32 tokens
    assert clip.towers.text.n_start == 1
    tokens = clip.tokenize([" ".join(["a"] * 30)])
    assert int(clip.towers.text.end_of_text(tokens)) == 31
    with pytest.raises(ValueError, match="too long for context length 32 tokens"):
        clip.tokenize([" ".join(["a"] * 31)])


def test_pictures_of_any_shape_are_squashed_for_a_student_that_expects_it(folder):
    from kdpl.images.transforms import evaluation_transform

    wide = Image.new("RGB", (64, 32))
    wide.paste((255, 255, 255), (0, 0, 8, 32))  # a white edge, which cropping would cut off
    assert evaluation_transform(load_clip(str(folder)).preprocessing)(wide)[0, 0, 0] > 1.5
