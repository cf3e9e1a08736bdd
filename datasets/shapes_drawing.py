"""Generating the images of the demo: a coloured, textured shape in one of two media under one of four conditions.

Each image is a function of its words and a random generator. The two media make the words of a prompt matter: in a
photo, colours look as their names say; on a poster, the inks have aged and every hue is turned by ``POSTER_HUE_TURN``
degrees. The prompt "a photo of a red striped circle" therefore looks for the wrong colour on a poster.
"""

import colorsys
import math
from collections.abc import Callable

import numpy as np

HUES = {"red": 0.0, "yellow": 60.0, "green": 120.0, "cyan": 180.0, "blue": 240.0, "purple": 300.0}  # degrees
MEDIA = ("photo", "poster")
CONDITIONS = ("plain", "night", "noise", "sketch")
POSTER_HUE_TURN = 40.0  # degrees; 60 would make every colour look like the next one

SIZE = 64  # pixels

Array = np.ndarray


def _circle(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.9


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.8


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(y - 0.55, 0.866 * np.abs(x) - 0.5 * y - 0.55)


def _star(x: Array, y: Array) -> Array:
    angle = np.abs(np.mod(np.arctan2(x, -y) + math.pi / 5, 2 * math.pi / 5) - math.pi / 5)
    radius = np.hypot(x, y)
    tip = np.array([1.1, 0.0])
    notch = 0.48 * np.array([math.cos(math.pi / 5), math.sin(math.pi / 5)])
    edge = (notch - tip) / np.linalg.norm(notch - tip)
    return (radius * np.cos(angle) - tip[0]) * edge[1] - radius * np.sin(angle) * edge[0]


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - 1.0, y - 0.36), np.maximum(x - 0.36, y - 1.0))


def _heart(x: Array, y: Array) -> Array:
    x = np.abs(x)
    lobe = np.hypot(x - 0.42, y + 0.33) - 0.55
    return np.minimum(lobe, np.maximum(0.7071 * (x + y) - 0.66, np.maximum(-y - 0.35, x - 0.95)))


# Signed distances in units of the shape's radius, negative inside; y points down.
SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "cross": _cross, "heart": _heart,
}  # fmt: skip


def _solid(x: Array, y: Array, distance: Array) -> Array:
    return np.ones_like(x)


def _striped(x: Array, y: Array, distance: Array) -> Array:
    return _soft_step(np.sin(2 * math.pi * x / 0.42), 0.5)


def _dotted(x: Array, y: Array, distance: Array) -> Array:
    to_dot = np.hypot(np.mod(x, 0.46) - 0.23, np.mod(y, 0.46) - 0.23)
    return 1 - _soft_step(0.15 - to_dot, 0.04)


def _checkered(x: Array, y: Array, distance: Array) -> Array:
    return _soft_step(np.sin(math.pi * x / 0.4) * np.sin(math.pi * y / 0.4), 0.25)


def _hollow(x: Array, y: Array, distance: Array) -> Array:
    return _soft_step(distance + 0.26, 0.05)


# 1 where the texture shows the shape's colour, 0 where it shows the second colour, pale or dark.
TEXTURES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "solid": _solid, "striped": _striped, "dotted": _dotted, "checkered": _checkered, "hollow": _hollow,
}  # fmt: skip


def draw(generator: np.random.Generator, colour: str, texture: str, shape: str, medium: str, condition: str) -> Array:
    """One image; position, size, angle, shades, background and noise come from the generator.

    Returns:
        (64, 64, 3) uint8, RGB.
    """
    u = generator.uniform
    rows = (np.arange(SIZE, dtype=np.float32) + 0.5) * (2 / SIZE) - 1
    grid_y, grid_x = np.meshgrid(rows, rows, indexing="ij")  # (64, 64), from -1 to 1
    radius = u(0.5, 0.8)
    x, y = (grid_x - u(-0.22, 0.22)) / radius, (grid_y - u(-0.22, 0.22)) / radius
    x, y = _turned(x, y, u(-25, 25))
    distance = SHAPES[shape](x, y)
    texture_x, texture_y = _turned(x / u(0.85, 1.15) + u(0, 1), y / u(0.85, 1.15) + u(0, 1), u(-45, 45))
    pattern = TEXTURES[texture](texture_x, texture_y, distance)

    hue = HUES[colour] + u(-9, 9) + (POSTER_HUE_TURN if medium == "poster" else 0.0)
    saturation, value = u(0.75, 1.0), u(0.75, 1.0)
    ink = _rgb(hue, saturation, value)
    second = _rgb(hue, 0.12, u(0.9, 1.0)) if u() < 0.7 else _rgb(hue, saturation, 0.25)
    fill = second + pattern[..., None] * (ink - second)  # (64, 64, 3)
    background = _paper(generator, grid_x, grid_y) if medium == "poster" else _scene(generator, grid_x, grid_y)
    inside = _soft_step(-distance, 1.5 / (SIZE * radius))[..., None]

    if condition == "sketch":
        fill = _hatched(generator, fill, grid_x, grid_y)
        background = 0.35 * background + 0.65 * u(0.85, 0.95)
        outline = np.exp(-((distance * radius / 0.05) ** 2))[..., None]
        image = background + inside * (fill - background)
        image = image + 0.8 * outline * (0.7 * ink - image)
    else:
        image = background + inside * (fill - background)
    if medium == "photo":  # light from one side
        image = image * (1 + u(0.1, 0.35) * _ramp(generator, grid_x, grid_y))[..., None]
    if condition == "night":
        image = image * np.array([0.75, 0.85, 1.1]) * u(0.22, 0.4)
    noise = u(0.15, 0.24) if condition == "noise" else u(0.01, 0.03)
    image = image + noise * generator.standard_normal(image.shape, dtype=np.float32)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _turned(x: Array, y: Array, degrees: float) -> tuple[Array, Array]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return c * x - s * y, s * x + c * y


def _soft_step(x: Array, width: float) -> Array:
    """0 below ``-width``, 1 above ``width``, and a ramp in between, for antialiased edges."""
    return np.clip(x / (2 * width) + 0.5, 0, 1)


def _rgb(hue: float, saturation: float, value: float) -> Array:
    return np.array(colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value), dtype=np.float32)


def _ramp(generator: np.random.Generator, grid_x: Array, grid_y: Array) -> Array:
    angle = generator.uniform(0, 2 * math.pi)
    return grid_x * math.cos(angle) + grid_y * math.sin(angle)


def _scene(generator: np.random.Generator, grid_x: Array, grid_y: Array) -> Array:
    """The background of a photo, (64, 64, 3): a few out-of-focus blobs in dull colours."""
    u = generator.uniform
    scene = np.broadcast_to(_rgb(u(0, 360), u(0, 0.35), u(0.2, 0.9)), (SIZE, SIZE, 3))
    for _ in range(3):
        blob = np.exp(-((grid_x - u(-1, 1)) ** 2 + (grid_y - u(-1, 1)) ** 2) / u(0.1, 0.6))[..., None]
        scene = scene + blob * (_rgb(u(0, 360), u(0, 0.5), u(0.2, 0.9)) - scene)
    return scene


def _paper(generator: np.random.Generator, grid_x: Array, grid_y: Array) -> Array:
    """The background of a poster, (64, 64, 3): flat and light, with a thin frame."""
    u = generator.uniform
    sheet = _rgb(u(30, 60), u(0.02, 0.15), u(0.8, 0.98))
    to_frame = np.abs(np.maximum(np.abs(grid_x), np.abs(grid_y)) - u(0.86, 0.93))
    return sheet * (1 - 0.6 * (1 - _soft_step(to_frame - 0.03, 0.02)))[..., None]


def _hatched(generator: np.random.Generator, fill: Array, grid_x: Array, grid_y: Array) -> Array:
    strokes = 0.5 + 0.5 * np.sin(2 * math.pi * _ramp(generator, grid_x, grid_y) / generator.uniform(0.09, 0.13))
    return fill + (0.25 + 0.5 * strokes)[..., None] * (0.95 - fill)
