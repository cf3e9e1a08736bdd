"""A memory cache of decoded images, shared by loader processes."""

import mmap
import multiprocessing

from PIL import Image


class DecodedImages:
    """Decoded images by number, as many as fit in memory, so that each is decoded by only one worker.

    Forked processes share the memory. With other start methods, each process starts with its own empty store.

    >>> store = DecodedImages(n_images=2, n_bytes=3 * 4 * 4)
    >>> store.put(1, Image.new("RGB", (4, 4), "red"))
    >>> store.put(0, Image.new("RGB", (4, 4)))  # does not fit
    >>> store.get(0), store.get(1).getpixel((0, 0))
    (None, (255, 0, 0))
    """

    def __init__(self, n_images: int, n_bytes: int):
        self.n_images, self.n_bytes = n_images, n_bytes
        self._content = mmap.mmap(-1, max(1, n_bytes))  # memory is allocated page by page, on writing
        self._places = multiprocessing.RawArray("q", 3 * n_images)  # end of the pixels (0: not stored), width, height
        self._used = multiprocessing.RawValue("q", 0)
        self._lock = multiprocessing.Lock()

    def __reduce__(self):
        return DecodedImages, (self.n_images, self.n_bytes)

    def get(self, number: int) -> Image.Image | None:
        """The RGB image, if it is stored; do not modify its pixels."""
        end, width, height = self._places[3 * number : 3 * number + 3]
        if not end:
            return None
        content = memoryview(self._content)[end - 3 * width * height : end]
        return Image.frombuffer("RGB", (width, height), content, "raw", "RGB", 0, 1)

    def put(self, number: int, image: Image.Image) -> None:
        """Store an RGB image if it fits."""
        content = image.tobytes()
        with self._lock:
            start, end = self._used.value, self._used.value + len(content)
            if self._places[3 * number] or end > self.n_bytes:
                return
            self._used.value = end
            self._content[start:end] = content
            self._places[3 * number + 1], self._places[3 * number + 2] = image.size
            self._places[3 * number] = end  # written last: once it is visible, so is the rest
