"""Which files are images: judged by the suffix, or by the first bytes if there is no suffix."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

__all__ = ["begins_as_image", "image_suffixes", "readers"]

# Pillow registers these formats too. EPS would run Ghostscript. Pillow cannot read the others, or
# they are not pictures.
NOT_READ = {"EPS", "IPTC", "MPEG", "PALM", "PDF"}
# Formats that the first bytes identify with certainty.
SURE = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "PPM", "QOI")
# Images by their name, whether Pillow reads them here or not: what it cannot read is an error, not
# a file that is left out.
ALWAYS = {".avif", ".heic", ".heif", ".hif"}
# Pillow itself shows its readers this many bytes.
PREFIX = 16


@cache
def readers() -> tuple[str, ...]:
    """The formats that Pillow reads by itself, and HEIF where the package for it is installed.

    EPS is left out: Pillow would run Ghostscript on the file, even if it is named .jpg.
    """
    from PIL import Image

    Image.init()
    if find_spec("pillow_heif") is not None:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return tuple(name for name in Image.ID if name != "EPS")


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of files that are read as images, in lower case and with the dot.

    Pillow registers these suffixes for the formats that it decodes without other programs.
    """
    from PIL import Image, ImageFile

    readers()
    found = {
        ".mpo",
        *ALWAYS,
    }  # Pillow registers it only for writing, but reads such a file as a JPEG
    for suffix, name in Image.registered_extensions().items():
        reader = Image.OPEN[name][0] if name in Image.OPEN else None
        stub = isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile)
        if reader is not None and not stub and name not in NOT_READ:
            found.add(suffix.lower())
    return frozenset(found)


def begins_as_image(path: str) -> bool:
    """Whether the first bytes of a file are those of a usual image format.

    Raises:
        OSError: the file cannot be read.
    """
    from PIL import Image

    Image.init()
    with open(path, "rb") as file:  # noqa: PTH123 - making a Path takes as long again
        prefix = file.read(PREFIX)
    checks = (Image.OPEN[name][1] for name in SURE if name in Image.OPEN)
    return any(check is not None and check(prefix) is True for check in checks)
