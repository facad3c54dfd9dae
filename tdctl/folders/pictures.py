"""Which files are images: by their suffix, or by how they begin where they have none."""

from __future__ import annotations

from functools import cache

__all__ = ["begins_as_image", "image_suffixes"]

# Pillow registers these too: EPS would run Ghostscript, the others are no pictures or not read.
NOT_READ = {"EPS", "IPTC", "MPEG", "PALM", "PDF"}
# Formats whose first bytes tell them from anything else.
SURE = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "PPM", "QOI")
# As many bytes as Pillow itself shows its readers.
PREFIX = 16


@cache
def image_suffixes() -> frozenset[str]:
    """Suffixes of the files that are read as images, in lower case and with their dot.

    They are those that Pillow registers for the formats that it decodes by itself.
    """
    from PIL import Image, ImageFile

    Image.init()
    found = {".mpo"}  # Pillow registers it for writing alone, and reads it as the JPEG that it is
    for suffix, name in Image.registered_extensions().items():
        reader = Image.OPEN[name][0] if name in Image.OPEN else None
        stub = isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile)
        if reader is not None and not stub and name not in NOT_READ:
            found.add(suffix.lower())
    return frozenset(found)


def begins_as_image(path: str) -> bool:
    """Whether a file begins as one of the usual formats does.

    Raises:
        OSError: it cannot be read.
    """
    from PIL import Image

    Image.init()
    with open(path, "rb") as file:  # noqa: PTH123 - a Path each takes as long again
        prefix = file.read(PREFIX)
    checks = (Image.OPEN[name][1] for name in SURE if name in Image.OPEN)
    return any(check is not None and check(prefix) is True for check in checks)
