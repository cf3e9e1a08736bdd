"""Hand-written prompts: one template per dataset, and two ensembles."""

GENERIC = "a photo of a {}."

# For the teacher and zero-shot CLIP; all other datasets use the generic template.
TEMPLATES = {
    "OxfordPets": "a photo of a {}, a type of pet.",
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "Food101": "a photo of {}, a type of food.",
    "UCF101": "a photo of a person doing {}.",
}

# The seven that CLIP's authors found best for zero-shot ImageNet.
ENSEMBLE_OF_7 = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

# PromptSRC's frozen text features are means over these.
ENSEMBLE_OF_60 = (
    "a photo of a {}.",
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
)


def template_of(dataset: str, template: str = "") -> str:
    """``template`` (DATASET.TEMPLATE) if it is set, else the dataset's.

    Raises:
        ValueError: as :func:`check_template`.
    """
    if template:
        check_template(template)
    return template or TEMPLATES.get(dataset, GENERIC)


def check_template(template: str, key: str = "DATASET.TEMPLATE") -> None:
    """Refuse a template without exactly one ``{}`` for the class name, or with other braces.

    Raises:
        ValueError: naming the template.
    """
    if template.count("{}") != 1 or set(template.replace("{}", "")) & set("{}"):
        raise ValueError(
            f'{key} is {template!r}; it must contain {{}} for the class name once, and no other braces: "{GENERIC}"'
        )


def fill(template: str, classnames: list[str]) -> list[str]:
    """One text per class, with underscores in its name replaced by spaces."""
    return [template.format(name.replace("_", " ")) for name in classnames]
