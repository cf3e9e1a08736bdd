"""Every setting of the trainers, declared once with its choices and its meaning."""

from yacs.config import CfgNode

# Where a CoOp checkout has declared a node already (TRAINER.COOP, TRAINER.COCOOP, ...), its values stay.
PRECISIONS = ("fp32", "bf16", "fp16", "amp")  # of every PREC below; see precision.py


def extend_cfg(cfg: CfgNode) -> None:
    """Add to Dassl's defaults what the trainers of this package read; keys that exist already are left alone."""
    cfg.DATASET.setdefault("SUBSAMPLE_CLASSES", "all")  # all, or one half of the classes: base, new
    cfg.DATASET.setdefault("TEMPLATE", "")  # "a photo of a {}." for teacher and zero-shot; empty: the data set's own

    folder = cfg.DATASET.setdefault("FOLDER", CfgNode())  # of DATASET.NAME Folder: images of one's own in --root
    folder.setdefault("CLASSNAMES", "")  # file with a name a line; empty: classnames.txt if it is there
    folder.setdefault("LABELS", "")  # CSV or JSON of path, label and, optionally, split; empty: labels.csv, labels.json
    folder.setdefault("SHARES", (0.5, 0.2, 0.3))  # of a class for training, validation, test, if no folders say so
    folder.setdefault("SPLIT_SEED", 1)  # of that division; the same for all SEEDs

    coop = cfg.TRAINER.setdefault("COOP", CfgNode())
    coop.setdefault("N_CTX", 16)  # context vectors, overruled by CTX_INIT
    coop.setdefault("CSC", False)  # class-specific contexts, overruled by CTX_INIT
    coop.setdefault("CTX_INIT", "")  # words to start from; empty: random vectors
    coop.setdefault("PREC", "fp16")
    coop.setdefault("CLASS_TOKEN_POSITION", "end")  # end, middle, front

    cocoop = cfg.TRAINER.setdefault("COCOOP", CfgNode())
    cocoop.setdefault("N_CTX", 16)
    cocoop.setdefault("CTX_INIT", "")
    cocoop.setdefault("PREC", "fp16")

    vpt = cfg.TRAINER.setdefault("VPT", CfgNode())
    vpt.setdefault("N_CTX_VISION", 8)  # visual tokens a block
    vpt.setdefault("CTX_INIT", "a photo of a")  # the fixed words of the text
    vpt.setdefault("PROMPT_DEPTH_VISION", 12)  # blocks with prompts
    vpt.setdefault("PREC", "fp16")

    maple = cfg.TRAINER.setdefault("MAPLE", CfgNode())
    maple.setdefault("N_CTX", 2)  # vectors a block, in each tower
    maple.setdefault("CTX_INIT", "a photo of a")  # counts for N_CTX <= 4
    maple.setdefault("PROMPT_DEPTH", 9)
    maple.setdefault("PREC", "fp16")

    promptsrc = cfg.TRAINER.setdefault("PROMPTSRC", CfgNode())
    promptsrc.setdefault("N_CTX_TEXT", 4)
    promptsrc.setdefault("N_CTX_VISION", 4)
    promptsrc.setdefault("CTX_INIT", "a photo of a")  # counts for N_CTX_TEXT <= 4
    promptsrc.setdefault("PROMPT_DEPTH_TEXT", 9)
    promptsrc.setdefault("PROMPT_DEPTH_VISION", 9)
    promptsrc.setdefault("TEXT_LOSS_WEIGHT", 25)
    promptsrc.setdefault("IMAGE_LOSS_WEIGHT", 10)
    promptsrc.setdefault("GPA_MEAN", 15)  # Gaussian weights of the epochs' prompts, in epochs
    promptsrc.setdefault("GPA_STD", 1)
    promptsrc.setdefault("PREC", "fp16")

    kdpl = cfg.TRAINER.setdefault("KDPL", CfgNode())
    kdpl.setdefault("TEACHER", "ViT-L/14")  # OpenAI name, "open_clip:<model>/<tag>" or a file; several, separated by
    #                                         commas: their probabilities are averaged
    kdpl.setdefault("PREC", "fp16")  # of the teacher
    kdpl.setdefault("CLASS_AGNOSTIC", False)  # KDPL-CA: train on a vocabulary instead of the class names
    kdpl.setdefault("K_MAX", 1000)  # KDPL-CA: classes kept in each batch
    kdpl.setdefault("VOCABULARY", "")  # KDPL-CA: file with a name a line; empty: the names of Open Images
