"""Which files make up each benchmark, where they are, and where their contents belong."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdpl import downloads
from kdpl.google_drive import DRIVE

SPLITS_MIRROR = (
    "https://raw.githubusercontent.com/linzhiqiu/cross_modal_adaptation/"
    "c7e7e68ae4eeadfab98e7886b2d6c9cf48a7ceb5/splits/"
)
VGG = "https://www.robots.ox.ac.uk/~vgg/data/"
VGG_MIRROR = "https://thor.robots.ox.ac.uk/"
CARS = "https://ai.stanford.edu/~jkrause/"
IMAGENET_TERMS = "ImageNet asks for an account and for its terms to be accepted: https://image-net.org/download.php"


@dataclass(frozen=True)
class RemoteFile(downloads.RemoteFile):
    """A file, or an archive whose parts are moved to their places.

    Downloaded by hand it is put into the dataset's folder under its name.

    Attributes:
        moves: for an archive, pairs of a path in it and the place below the dataset's folder ("." for the folder).
        inner: archives in the archive that are unpacked where they lie; "*.tar" means each into a folder of its name.
    """

    moves: tuple[tuple[str, str], ...] = ()
    inner: str = ""

    @property
    def space(self) -> int:
        return 2 if self.moves else 1  # an archive and its content


def _split(name: str, drive_id: str, sha256: str = "", size: int = 0) -> RemoteFile:
    mirrors = (SPLITS_MIRROR + name,) if sha256 else ()
    return RemoteFile(name, (*mirrors, DRIVE + drive_id), f"sha256:{sha256}" if sha256 else "", size)


CLASSNAMES = RemoteFile("classnames.txt", (DRIVE + "1-61f_ol79pViBFDG_IDlUQSwoLcn2XXF",))

FILES: dict[str, Sequence[RemoteFile]] = {
    "Caltech101": (
        RemoteFile(
            "caltech-101.zip",
            ("https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",),
            "md5:3138e1922a9193bfa496528edbbc45d0",
            moves=(("caltech-101/101_ObjectCategories", "101_ObjectCategories"),),
            inner="caltech-101/101_ObjectCategories.tar.gz",
        ),
        _split(
            "split_zhou_Caltech101.json",
            "1hyarUivQE36mY6jSomru6Fjd-JzwcCzN",
            "52ce83205ff8ff8a1a18119aad6376120ae35c36e783a984bc560cbf10e73fa5",
            809184,
        ),
    ),
    "OxfordPets": (
        RemoteFile(
            "images.tar.gz",
            (VGG + "pets/data/images.tar.gz", VGG_MIRROR + "~vgg/data/pets/images.tar.gz"),
            "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
            size=791918971,
            moves=(("images", "images"),),
        ),
        _split(
            "split_zhou_OxfordPets.json",
            "1501r8Ber4nNKvmlFVQZ8SeUHTcdTTEqs",
            "d7f3ffe65b3919f95132e51422894ae18686b83c331fd8c0adcdc3dc2de6301e",
            724217,
        ),
    ),
    "StanfordCars": (
        RemoteFile(
            "cars_train.tgz",
            (CARS + "car196/cars_train.tgz",),
            "md5:065e5b463ae28d29e77c1b4b166cfe61",
            moves=(("cars_train", "cars_train"),),
            by_hand="The authors' server may be gone. The same images in another form are at "
            "https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset : unpack that into the dataset's "
            "folder and run `fix`.",
        ),
        RemoteFile(
            "cars_test.tgz",
            (CARS + "car196/cars_test.tgz",),
            "md5:4ce7ebf6a94d07f1952d94dd34c4d501",
            moves=(("cars_test", "cars_test"),),
            by_hand="As for the training images.",
        ),
        _split(
            "split_zhou_StanfordCars.json",
            "1ObCFbaAgVu0I-k_Au-gIUcefirdAuizT",
            "40acee7aa65c8e4727a32d90e884b7c3f8960b523422317e163f7af65432959d",
            1855652,
        ),
    ),
    "OxfordFlowers": (
        RemoteFile(
            "102flowers.tgz",
            (VGG + "flowers/102/102flowers.tgz", VGG_MIRROR + "flowers/102/102flowers.tgz"),
            "md5:52808999861908f626f3c1f4e79d11fa",
            moves=(("jpg", "jpg"),),
        ),
        _split(
            "split_zhou_OxfordFlowers.json",
            "1Pp0sRXzZFZq15zVOzKjKBu4A9i01nozT",
            "2f50c42fc1a17ca13c271cb4269b1347bdb43d2be672e34f74a4e4cbfbcca794",
            771139,
        ),
    ),
    "Food101": (
        RemoteFile(
            "food-101.tar.gz",
            ("https://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz"),
            "md5:85eeb15f3717b99a5da872d97d918f87",
            moves=(("food-101", "."),),
        ),
        _split("split_zhou_Food101.json", "1QK0tGi096I0Ba6kggatX1ee6dJFIcEJl"),
    ),
    "FGVCAircraft": (
        RemoteFile(
            "fgvc-aircraft-2013b.tar.gz",
            (VGG + "fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",),
            moves=(("fgvc-aircraft-2013b/data", "."),),
        ),
    ),
    "SUN397": (
        RemoteFile(
            "SUN397.tar.gz",
            (
                "https://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
                "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
            ),
            "md5:8ca2778205c41d23104230ba66911c7a",
            moves=(("SUN397", "SUN397"),),
        ),
        _split("split_zhou_SUN397.json", "1y2RD81BYuiyvebdN-JymPfyWYcd8_MUq"),
    ),
    "DescribableTextures": (
        RemoteFile(
            "dtd-r1.0.1.tar.gz",
            (VGG + "dtd/download/dtd-r1.0.1.tar.gz", VGG_MIRROR + "dtd/dtd-r1.0.1.tar.gz"),
            "md5:fff73e5086ae6bdbea199a49dfb8a4c1",
            size=625239812,
            moves=(("dtd", "."),),
        ),
        _split(
            "split_zhou_DescribableTextures.json",
            "1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x",
            "f26ebeccd2b58e68d70f07a0dc39fe49bf7b69024bac34396b954dfd87969c38",
            563702,
        ),
    ),
    "EuroSAT": (
        RemoteFile(
            "EuroSAT.zip",
            (
                "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                "https://madm.dfki.de/files/sentinel/EuroSAT.zip",
            ),
            "md5:c8fa014336c82ac7804f0398fcb19387",
            moves=(("2750", "2750"),),
        ),
        _split(
            "split_zhou_EuroSAT.json",
            "1Ip7yaCWFi0eaOFUGga0lUdVi_DDQth1o",
            "541503a77d0b26b735d85ec7a3e672804fe0aa466c2e5f07da772cc6c0af8ad2",
            3006492,
        ),
    ),
    "UCF101": (
        RemoteFile(
            "UCF-101-midframes.zip",
            (DRIVE + "10Jqome3vtUA2keJkNanAiFpgbyC9Hc2O",),
            moves=(("UCF-101-midframes", "UCF-101-midframes"),),
        ),
        _split(
            "split_zhou_UCF101.json",
            "1I0S0q91hJfsV9Gf4xDIjgDq4AqBNJb1y",
            "d78cb834f7c5792ceaff2c5ee2d7c76a9e4086e48a3a6b01232989d29cbefdd8",
            1557485,
        ),
    ),
    "ImageNet": (
        RemoteFile(
            "ILSVRC2012_img_train.tar",
            hash="md5:1d675b47d978889d74fa0da5fadfb00e",
            moves=((".", "images/train"),),
            inner="*.tar",
            by_hand=IMAGENET_TERMS,
        ),
        RemoteFile(
            "ILSVRC2012_img_val.tar",
            hash="md5:29b22e2961454d5413ddabcf34fc5622",
            moves=((".", "images/val"),),
            by_hand=IMAGENET_TERMS + " ; then run `fix`, which sorts these images into the folders of their classes.",
        ),
        RemoteFile(
            "ILSVRC2012_devkit_t12.tar.gz",
            hash="md5:fa75699e90414af021442c21a62c3abf",
            moves=(("ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12"),),
            by_hand=IMAGENET_TERMS,
        ),
        CLASSNAMES,
    ),
    "ImageNetV2": (
        RemoteFile(
            "imagenetv2-matched-frequency.tar.gz",
            (
                "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-matched-frequency.tar.gz",
                "https://s3-us-west-2.amazonaws.com/imagenetv2public/imagenetv2-matched-frequency.tar.gz",
            ),
            moves=(("imagenetv2-matched-frequency-format-val", "imagenetv2-matched-frequency-format-val"),),
        ),
        CLASSNAMES,
    ),
    "ImageNetSketch": (
        RemoteFile(
            "ImageNet-Sketch.zip",
            (
                "https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/ImageNet-Sketch.zip",
                DRIVE + "1Mj0i5HBthqH1p_yeXzsg22gZduvgoNeA",
            ),
            moves=(("sketch", "images"),),
        ),
        CLASSNAMES,
    ),
    "ImageNetA": (
        RemoteFile(
            "imagenet-a.tar",
            ("https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",),
            "md5:c3e55429088dc681f30d81f4726b6595",
            size=687552512,
            moves=(("imagenet-a", "imagenet-a"),),
        ),
        CLASSNAMES,
    ),
    "ImageNetR": (
        RemoteFile(
            "imagenet-r.tar",
            ("https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",),
            "md5:a61312130a589d0ca1a8fca1f2bd3337",
            moves=(("imagenet-r", "imagenet-r"),),
        ),
        CLASSNAMES,
    ),
}
