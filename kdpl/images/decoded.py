"""Decoded pictures in memory, shared by the processes that load images."""

import mmap
import multiprocessing

from PIL import Image


class DecodedImages:
    """Pictures by number, as many as fit; those that one worker has decoded the others need not decode again.

    The memory is shared with processes that are forked. One that is started otherwise begins with an empty store of its
    own.

    >>> store = DecodedImages(n_images=2, n_bytes=3 * 4 * 4)
    >>> store.put(1, Image.new("RGB", (4, 4), "red"))
    >>> store.put(0, Image.new("RGB", (4, 4)))  # there is no room for it
    >>> store.get(0), store.get(1).getpixel((0, 0))
    (None, (255, 0, 0))
    """

    def __init__(self, n_images: int, n_bytes: int):
        self.n_images, self.n_bytes = n_images, n_bytes
        self._content = mmap.mmap(-1, max(1, n_bytes))  # pages are taken when they are written
        self._places = multiprocessing.RawArray("q", 3 * n_images)  # end of the content, width, height; 0: not there
        self._used = multiprocessing.RawValue("q", 0)
        self._lock = multiprocessing.Lock()

    def __reduce__(self):
        return DecodedImages, (self.n_images, self.n_bytes)

    def get(self, number: int) -> Image.Image | None:
        """The RGB picture, if it is there; its pixels are not to be changed."""
        end, width, height = self._places[3 * number : 3 * number + 3]
        if not end:
            return None
        content = memoryview(self._content)[end - 3 * width * height : end]
        return Image.frombuffer("RGB", (width, height), content, "raw", "RGB", 0, 1)

    def put(self, number: int, image: Image.Image) -> None:
        """Keep an RGB picture if there is room for it."""
        content = image.tobytes()
        with self._lock:
            start, end = self._used.value, self._used.value + len(content)
            if self._places[3 * number] or end > self.n_bytes:
                return
            self._used.value = end
            self._content[start:end] = content
            self._places[3 * number + 1], self._places[3 * number + 2] = image.size
            self._places[3 * number] = end  # last: whoever sees it finds the rest
