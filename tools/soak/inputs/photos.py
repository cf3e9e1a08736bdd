"""Unusable image folders and images."""

import struct
import zlib
from pathlib import Path

from .case import DEMO, TRAIN, Case, Content, Maker, copy, cut, fifo, folder, garbled, image, link, sparse, unix_socket

RUN = f"{TRAIN.replace('$photos', '$here/photos')} OPTIM.MAX_EPOCH 1 DATALOADER.NUM_WORKERS 0"
LEARN = f"kdpl train $here/photos {DEMO} --classnames $names --epochs 1 --output $here/p.safetensors"
PREDICT = "kdpl predict $prompts $here/photos"
EVALUATE = "kdpl evaluate $prompts $here/photos --output $here/evaluation"
JPEG = "photos/red_square/1.jpg"


def png(n_pixels: int) -> bytes:
    """A truncated PNG with this height and width in pixels."""
    parts = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", struct.pack(">2I5B", n_pixels, n_pixels, 8, 2, 0, 0, 0)), (b"IDAT", b"x\xda\0")):
        parts += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return parts


FOLDERS: dict[str, tuple[dict[str, Content], str]] = {  # folders without a single usable image
    "missing": ({}, "photos"),
    "empty": ({"photos": folder}, "photos"),
    "without images": ({"photos/a/readme.txt": "x"}, "photos"),
    "a file": ({"photos": "x"}, "photos"),
    "a pipe": ({"photos": fifo}, "photos"),
    "a socket": ({"photos": unix_socket}, "photos"),
    "a device": ({"photos": link("/dev/null")}, "photos"),
    "a broken link": ({"photos": link("nothing")}, "photos"),
    "a link to itself": ({"photos": link("photos")}, "photos"),
    "a link to its own parent": ({"photos/a/b": "", "photos/a/c": link("../a")}, "photos"),
    "hidden images": ({"photos/.a/1.jpg": image()}, "photos"),
    "empty images": ({"photos/red_square/1.jpg": "", "photos/blue_circle/2.jpg": ""}, "1.jpg|2.jpg"),
    "folders named like images": ({"photos/red_square.jpg": folder, "photos/blue_circle.jpg": folder}, "photos"),
    "pipes named like images": ({"photos/red_square/1.jpg": fifo, "photos/blue_circle/2.jpg": fifo}, "1.jpg|2.jpg"),
    "broken links": (
        {"photos/red_square/1.jpg": link("none"), "photos/blue_circle/2.jpg": link("none")},
        "1.jpg|2.jpg",
    ),
    "devices named like images": ({"photos/red_square/1.jpg": link("/dev/zero")}, "1.jpg"),
    "text files named like images": ({"photos/red_square/1.jpg": "hello\n"}, "1.jpg"),
    "web pages": ({"photos/red_square/1.jpg": "<html>404</html>"}, "1.jpg"),
}
IMAGES: dict[str, tuple[Content, str]] = {  # one bad image among good ones, which is skipped and named
    "truncated": (cut(0.5, JPEG), "1.jpg"),
    "some noise": (garbled(JPEG, 300), "1.jpg"),
    "noise": (bytes(range(256)) * 40, "1.jpg"),
    "empty": ("", "1.jpg"),
    "text": ("hello", "1.jpg"),
    "a pipe": (fifo, "1.jpg"),
    "a socket": (unix_socket, "1.jpg"),
    "a device": (link("/dev/zero"), "1.jpg"),
    "a broken link": (link("nothing"), "1.jpg"),
    "a link to itself": (link("1.jpg"), "1.jpg"),
    "a gigabyte of zeros": (sparse(2**30), "1.jpg"),
    "a terminal": (link("/dev/tty"), "1.jpg"),
    "a PNG of 2 billion pixels": (png(50_000), "1.jpg"),
    "a PNG of 150 million pixels without data": (png(12_000), "1.jpg"),
    "only a JPEG header": (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xd9", "1.jpg"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n", "1.jpg"),
    "an SVG": ('<svg xmlns="http://www.w3.org/2000/svg"/>', "1.jpg"),
}  # fmt: skip
CASES = [
    Case(f"{what}: {name}", command, says, files, codes=(0,) if (what, name) == ("predict", "a file") else (2,))
    for what, command in (("train.py", RUN), ("kdpl train", LEARN), ("predict", PREDICT), ("evaluate", EVALUATE))
    for name, (files, says) in FOLDERS.items()
    if what != "predict" or "photos/" not in str([*files]) or name in ("without images", "hidden images")
]


def replaced(content: Content) -> Maker:
    """Replace an image with something else."""

    def make(path: Path, good: Path) -> None:
        path.unlink()
        if callable(content):
            content(path, good)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    return make


for what, command in (("train.py", RUN), ("kdpl train", LEARN), ("predict", PREDICT), ("evaluate", EVALUATE)):
    for name, (content, says) in IMAGES.items():
        files = {"photos": copy("photos"), JPEG: replaced(content)}
        CASES.append(
            Case(f"{what}, one image: {name}", command, "unreadable" if what == "predict" else says, files, codes=(0,))
        )
CASES += [
    Case("images beside folders", RUN, "outside of them", {"photos": copy("photos"), "photos/9.jpg": image()}),
    Case("folders that differ in case", RUN, "'Red_Square'",
         {"photos": copy("photos"), "photos/Red_Square/1.jpg": image()}),
    Case("the parent folder", RUN.replace("$here/photos", "$here"), "Use that", {"photos": copy("photos")}),
    Case("neither labels nor class names", RUN, "classnames.txt", {"photos/1.jpg": image(), "photos/2.jpg": image()}),
    Case("evaluate: images beside folders", EVALUATE, "outside class folders",
         {"photos": copy("photos"), "photos/9.jpg": image()}),
    Case("evaluate: a folder that is not a class", EVALUATE, "'red_sqare'",
         {"photos": copy("photos"), "photos/red_sqare/1.jpg": image()}),
]  # fmt: skip
