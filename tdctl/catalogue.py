"""The data sets that tdctl knows by name: their contents, their layout on the disk, their terms.

This module uses only the standard library, so ``tdctl datasets`` and the settings can read it
without loading torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "CATALOGUE", "VECTOR_SUFFIXES", "Entry", "class_folders", "find", "is_own", "known_name",
    "nearest", "samples_of",
]  # fmt: skip


# The files that the data set embeddings reads its vectors from.
VECTOR_SUFFIXES = (".npy", ".safetensors", ".parquet")


@dataclass(frozen=True)
class Entry:
    """One data set of the catalogue.

    Attributes:
        title: the name and the source, as cited.
        layout: the expected contents of ``--data-dir``, in a few words.
        terms: the licence or the terms of use.
        landmarks: paths relative to ``--data-dir`` or to one of ``folders`` in it. The data set is
            present if all of them exist.
        folders: possible names of the archive's top folder.
        inner: subfolders of the data set's folder that may contain landmarks as well.
        classes: the number of classes; None if it depends on the user's data.
        train, test: the numbers of images; None if they depend on the user's data, or on a seeded
            split of ``total`` images.
        total: the number of all images, for a data set without a split; else None.
        size: the size of the images, in words.
        pretrained: True if the paper starts from ImageNet weights.
    """

    title: str
    layout: str
    terms: str
    landmarks: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    classes: int | None = None
    train: int | None = None
    test: int | None = None
    total: int | None = None
    size: str = "any"
    pretrained: bool = False


def samples_of(name: str) -> str:
    """What a data set has: images, or vectors."""
    return "vectors" if name == "embeddings" else "images"


def known_name(name: str) -> str:
    """The catalogue's name of a data set. ``name`` may have hyphens and capitals.

    Raises:
        ValueError: the name is unknown. The message lists all names.
    """
    key = name.replace("-", "_").lower()
    if key not in CATALOGUE:
        raise ValueError(f"'{name}' is unknown; use one of {', '.join(CATALOGUE)}")
    return key


def is_own(name: str) -> bool:
    """Whether a name stands for the user's own data, in one of the forms that are read."""
    return name != "digits" and name in CATALOGUE and not CATALOGUE[name].landmarks


def nearest(name: str, data_dir: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder that has the most landmarks of a data set, and the landmarks that it lacks.

    The search covers, in this order: ``data_dir``, ``data_dir/<name>``, and the archive's top
    folder in both.

    Raises:
        KeyError: the name is unknown.
    """
    entry = CATALOGUE[name]
    homes = [data_dir, data_dir / name]
    homes += [home / folder for home in homes for folder in entry.folders]
    lacks = {home: tuple(m for m in entry.landmarks if not _has(home, m, entry)) for home in homes}
    best = min(homes, key=lambda home: len(lacks[home]))
    return best, lacks[best]


def find(name: str, data_dir: Path) -> Path | None:
    """The folder with all landmarks of a data set; None if there is no such folder.

    The result is also None for a data set without landmarks.

    Raises:
        KeyError: the name is unknown.
    """
    home, lacks = nearest(name, data_dir)
    return home if CATALOGUE[name].landmarks and not lacks else None


def class_folders(folder: Path) -> int:
    """The number of class folders of an image folder: those in ``folder/train``, if it exists."""
    home = folder / "train" if (folder / "train").is_dir() else folder
    return sum(path.is_dir() and not path.name.startswith(".") for path in home.glob("*"))


def _has(home: Path, landmark: str, entry: Entry) -> bool:
    return any((home / part / landmark).exists() for part in ("", *entry.inner))


CATALOGUE: dict[str, Entry] = {
    "digits": Entry(
        title="Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, UCI 1998)",
        layout="nothing: ships inside scikit-learn; split by us",
        terms="CC BY 4.0 (UCI)",
        classes=10,
        train=1198,
        test=599,
        size="8x8 grey",
    ),
    "folder": Entry(
        title="your image folder",
        layout="<class>/*.jpg, or train/<class>/*.jpg and test/<class>/*.jpg; PNG and others too",
        terms="yours",
    ),
    "table": Entry(
        title="your table of file names and labels",
        layout="images anywhere; --labels names a CSV, TSV or Parquet table of file_name,label",
        terms="yours",
    ),
    "webdataset": Entry(
        title="your WebDataset tar shards",
        layout="*.tar with pairs such as 000.jpg and 000.cls",
        terms="yours",
    ),
    "hf": Entry(
        title="your Hugging Face datasets folder",
        layout="what datasets.save_to_disk wrote",
        terms="yours",
    ),
    "embeddings": Entry(
        title="your embeddings: vectors of a model, of images or anything else",
        layout="--data-dir names a .npy, .safetensors or .parquet file of n rows of d floats, "
        "--labels a table of index,label",
        terms="yours",
        size="vectors",
    ),
    "cifar10": Entry(
        title="CIFAR-10 (Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009)",
        layout="cifar-10-batches-py/ with data_batch_1 to 5, test_batch, batches.meta",
        terms="no licence stated; asks to cite the report",
        landmarks=("cifar-10-batches-py/data_batch_1",),
        classes=10,
        train=50_000,
        test=10_000,
        size="32x32",
    ),
    "cifar100": Entry(
        title="CIFAR-100 (Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009)",
        layout="cifar-100-python/ with train, test, meta",
        terms="no licence stated; asks to cite the report",
        landmarks=("cifar-100-python/train",),
        classes=100,
        train=50_000,
        test=10_000,
        size="32x32",
    ),
    "mnist": Entry(
        title="MNIST (LeCun, Cortes and Burges, 1998)",
        layout="MNIST/raw/ with train-images-idx3-ubyte and its three siblings",
        terms="CC BY-SA 3.0, by the Keras documentation",
        landmarks=("MNIST/raw/train-images-idx3-ubyte",),
        classes=10,
        train=60_000,
        test=10_000,
        size="28x28 grey",
    ),
    "fashion_mnist": Entry(
        title="Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017)",
        layout="FashionMNIST/raw/ with train-images-idx3-ubyte and its three siblings",
        terms="MIT",
        landmarks=("FashionMNIST/raw/train-images-idx3-ubyte",),
        classes=10,
        train=60_000,
        test=10_000,
        size="28x28 grey",
    ),
    "svhn": Entry(
        title="SVHN, cropped digits (Netzer et al., NIPS workshop 2011)",
        layout="train_32x32.mat and test_32x32.mat",
        terms="non-commercial use only",
        landmarks=("train_32x32.mat",),
        classes=10,
        train=73_257,
        test=26_032,
        size="32x32",
    ),
    "tiny_imagenet": Entry(
        title="Tiny ImageNet (Stanford CS231n, 2015), of ImageNet (Russakovsky et al., 2015)",
        layout="tiny-imagenet-200/ with wnids.txt, train/<wnid>/images/*.JPEG, val/images/ and "
        "val/val_annotations.txt; val is the test set",
        terms="no licence of its own stated; ImageNet's: non-commercial research and education",
        landmarks=("wnids.txt", "train", "val/images", "val/val_annotations.txt"),
        folders=("tiny-imagenet-200",),
        classes=200,
        train=100_000,
        test=10_000,
        size="64x64",
    ),
    "cub_200_2011": Entry(
        title="Caltech-UCSD Birds-200-2011 (Wah et al., CNS-TR-2011-001)",
        layout="CUB_200_2011/ with images.txt, image_class_labels.txt, train_test_split.txt, "
        "classes.txt and images/",
        terms="no licence in the archive; the photographs are their owners'",
        landmarks=(
            "images.txt",
            "image_class_labels.txt",
            "train_test_split.txt",
            "classes.txt",
            "images",
        ),
        folders=("CUB_200_2011",),
        classes=200,
        train=5994,
        test=5794,
        size="photographs",
        pretrained=True,
    ),
    "caltech256": Entry(
        title="Caltech-256 (Griffin, Holub and Perona, CNS-TR-2007-001)",
        layout="256_ObjectCategories/ with 257 folders from 001.ak47 to 257.clutter",
        terms="see its page at data.caltech.edu; the photographs are their owners'",
        landmarks=("001.ak47",),
        folders=("256_ObjectCategories",),
        classes=257,
        total=30_607,
        size="photographs",
        pretrained=True,
    ),
    "webvision50": Entry(
        title="WebVision 1.0 (Li et al., arXiv:1708.02862): 50 classes of its Google half",
        layout="info/ with train_filelist_google.txt and val_filelist.txt, google/, "
        "val_images_256/; the first 50 classes",
        terms="see its page at data.vision.ee.ethz.ch; the images are their owners'",
        landmarks=(
            "info/train_filelist_google.txt",
            "info/val_filelist.txt",
            "google",
            "val_images_256",
        ),
        folders=("WebVision", "webvision"),
        classes=50,
        train=65_944,
        test=2500,
        size="photographs",
    ),
    "clothing100k": Entry(
        title="Clothing1M (Xiao et al., CVPR 2015): 100,000 of its million, drawn by seed",
        layout="images/ and, there or in annotations/: noisy_train_key_list.txt, "
        "noisy_label_kv.txt, clean_test_key_list.txt, clean_label_kv.txt, category_names_eng.txt",
        terms="on request to its authors, who ask not to pass it on",
        landmarks=(
            "noisy_train_key_list.txt",
            "noisy_label_kv.txt",
            "clean_test_key_list.txt",
            "clean_label_kv.txt",
            "category_names_eng.txt",
            "images",
        ),
        folders=("clothing1M", "Clothing1M", "clothing1m"),
        inner=("annotations",),
        classes=14,
        train=100_000,
        test=10_526,
        size="photographs",
    ),
}
