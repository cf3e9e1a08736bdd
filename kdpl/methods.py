"""One entry per method, from which trainers, configuration keys, command lines, sweeps and tables are derived."""

from .distillation.regularisers import KnowledgeGuidance, SelfConsistency
from .method import METHODS, Method, Setting
from .names import did_you_mean
from .prompts import (
    CoCoOpPromptLearner,
    CoOpPromptLearner,
    MaPLePromptLearner,
    PromptSRCPromptLearner,
    VPTPromptLearner,
)
from .prompts.class_tokens import POSITIONS
from .prompts.initial import words_of
from .ranges import FLAG, Range, is_plain, one_of, real, whole

_VECTORS = whole(1, 75)  # start, vectors, name and end must fit into 77 tokens
_DEPTH = whole(1, 1000)  # published configurations ask for more blocks than some towers have
_WEIGHT = real(0)
_WORDS = Range(
    "words separated by single spaces, or an empty string",
    lambda value: isinstance(value, str) and is_plain(value) and "" not in words_of(value),
)
_N_CTX = Setting("N_CTX", 4, _VECTORS, "number of context vectors, if CTX_INIT is empty", 16)
_CTX_INIT = Setting("CTX_INIT", "a photo of a", _WORDS, "words to initialise from; empty: random vectors", "")

_ENTRIES = (
    Method(
        name="CoOp",
        source="Zhou et al., IJCV 2022",
        learner=CoOpPromptLearner,
        settings={
            "n_ctx": _N_CTX,
            "class_specific": Setting("CSC", False, FLAG, "class-specific contexts, if CTX_INIT is empty"),
            "ctx_init": _CTX_INIT,
            "class_token_position": Setting("CLASS_TOKEN_POSITION", "end", one_of(*POSITIONS), "end, middle, front"),
        },
        epochs=50,
        batch_size=32,
        lr=0.002,
        config="{}_ctxv1",
    ),
    Method(
        name="CoCoOp",
        source="Zhou et al., CVPR 2022",
        learner=CoCoOpPromptLearner,
        settings={"n_ctx": _N_CTX, "ctx_init": _CTX_INIT},
        epochs=10,
        batch_size=1,
        lr=0.002,
        config="{}_c4_ep10_batch1_ctxv1",
    ),
    Method(
        name="VPT",
        source="Jia et al., ECCV 2022",
        learner=VPTPromptLearner,
        settings={
            "n_vis": Setting("N_CTX_VISION", 8, whole(1, 1000), "visual tokens per block"),
            "ctx_init": Setting("CTX_INIT", "a photo of a", _WORDS, "fixed words of the text prompt"),
            "depth": Setting("PROMPT_DEPTH_VISION", 12, _DEPTH, "blocks with prompts"),
        },
        epochs=5,
        batch_size=4,
        lr=0.0025,
        config="{}_c2_ep5_batch4_4",
    ),
    Method(
        name="MaPLe",
        source="Khattak et al., CVPR 2023",
        learner=MaPLePromptLearner,
        settings={
            "n_ctx": Setting("N_CTX", 2, _VECTORS, "vectors per block in each tower"),
            "ctx_init": Setting("CTX_INIT", "a photo of a", _WORDS, "used only if N_CTX <= 4"),
            "depth": Setting("PROMPT_DEPTH", 9, _DEPTH, "blocks with prompts"),
        },
        epochs=5,
        batch_size=4,
        lr=0.0035,
        config="{}_c2_ep5_batch4_2ctx",
        registered_name="MultiModalPromptLearner",
    ),
    Method(
        name="PromptSRC",
        source="Khattak et al., ICCV 2023",
        learner=PromptSRCPromptLearner,
        settings={
            "n_ctx": Setting("N_CTX_TEXT", 4, _VECTORS, "text vectors per block"),
            "n_vis": Setting("N_CTX_VISION", 4, whole(1, 1000), "visual tokens per block"),
            "ctx_init": Setting("CTX_INIT", "a photo of a", _WORDS, "used only if N_CTX_TEXT <= 4"),
            "depth_text": Setting("PROMPT_DEPTH_TEXT", 9, _DEPTH, "blocks of the text tower with prompts"),
            "depth_vision": Setting("PROMPT_DEPTH_VISION", 9, _DEPTH, "blocks of the image tower with prompts"),
        },
        epochs=20,
        batch_size=4,
        lr=0.0025,
        config="{}_c2_ep20_batch4_4+4ctx",
        config_for_transfer="{}_c2_ep20_batch4_4+4ctx_cross_datasets",
        registered_name="VLPromptLearner",
        regulariser=SelfConsistency,
        regulariser_settings={
            "text_weight": Setting("TEXT_LOSS_WEIGHT", 25, _WEIGHT, "weight of distance to frozen text features"),
            "image_weight": Setting("IMAGE_LOSS_WEIGHT", 10, _WEIGHT, "weight of distance to frozen image features"),
        },
        averages=True,
        averaging_settings={
            "mean": Setting("GPA_MEAN", 15, real(), "mean of the Gaussian that weights the epochs' prompts, in epochs"),
            "std": Setting("GPA_STD", 1, real(above=0), "standard deviation of that Gaussian, in epochs"),
        },
    ),
    Method(
        name="KgCoOp",
        source="Yao et al., CVPR 2023",
        learner=CoOpPromptLearner,
        settings={
            "n_ctx": Setting("N_CTX", 4, _VECTORS, "number of context vectors, if CTX_INIT is empty"),
            "ctx_init": Setting("CTX_INIT", "a photo of a", _WORDS, "words to initialise from; empty: random vectors"),
        },
        epochs=100,
        batch_size=128,
        lr=0.002,
        config="{}_ep100_ctxv1",
        regulariser=KnowledgeGuidance,
        regulariser_settings={"weight": Setting("W", 8.0, _WEIGHT, "weight of distance to template's text features")},
        templates={"DescribableTextures": "a photo of a {}, a type of texture."},
    ),
)
METHODS.update({method.name: method for method in _ENTRIES})


def find_method(name: str) -> Method:
    """The method called ``name``.

    Raises:
        ValueError: listing the known methods.
    """
    if name not in METHODS:
        raise ValueError(f"There is no method {name!r}{did_you_mean(name, METHODS)}; choose from {', '.join(METHODS)}.")
    return METHODS[name]
