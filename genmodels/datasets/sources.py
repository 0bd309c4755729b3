"""What the data sets are: their files, the checksums of the files' content, and where they can be had.

The checksums are of the uncompressed content, so a file that was compressed again is still the published one. Those of
CIFAR-10 are of the six files inside the archive.
"""

from __future__ import annotations

from dataclasses import dataclass

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class File:
    """One published file."""

    name: str  # as unpacked, without .gz
    items: int  # images or labels
    sha256: str  # of the content
    packed: int = 0  # bytes of the published download, for the progress bar


@dataclass(frozen=True)
class Source:
    """One data set. Files come in the order they are read: training before test, images before labels."""

    name: str
    title: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    files: tuple[File, ...]
    mirrors: tuple[str, ...]  # folders, each ending in "/"; none for a set that is made here
    folders: tuple[str, ...]  # where below a root the files may lie, by the habits of other tools
    homepage: str
    licence: str
    archive: File | None = None  # the one download that holds all the files


def _idx(*rows: tuple[str, int], packed: tuple[int, ...] = (0, 0, 0, 0)) -> tuple[File, ...]:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return tuple(
        File(name, items, sha256, size) for name, (sha256, items), size in zip(names, rows, packed, strict=True)
    )


MNIST = Source(
    name="mnist",
    title="MNIST handwritten digits (LeCun, Cortes, Burges 1998)",
    image_shape=(28, 28, 1),
    classes=DIGITS,
    files=_idx(
        ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 60_000),
        ("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_000),
        ("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 10_000),
        ("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_000),
        packed=(9_912_422, 28_881, 1_648_877, 4_542),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    folders=("mnist", "MNIST/raw", "MNIST", ""),
    homepage="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0 (as commonly given)",
)

FASHION_MNIST = Source(
    name="fashion_mnist",
    title="Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)",
    image_shape=(28, 28, 1),
    classes=(
        *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    files=_idx(
        ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 60_000),
        ("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 60_000),
        ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 10_000),
        ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 10_000),
        packed=(26_421_880, 29_515, 4_422_102, 5_148),
    ),
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    folders=("fashion_mnist", "fashion-mnist", "FashionMNIST/raw", "FashionMNIST", ""),
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
)

CIFAR10 = Source(
    name="cifar10",
    title="CIFAR-10, binary version (Krizhevsky 2009)",
    image_shape=(32, 32, 3),
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    files=(
        File("data_batch_1.bin", 10_000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
        File("data_batch_2.bin", 10_000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
        File("data_batch_3.bin", 10_000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
        File("data_batch_4.bin", 10_000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
        File("data_batch_5.bin", 10_000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
        File("test_batch.bin", 10_000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    ),
    mirrors=(
        "https://www.cs.toronto.edu/~kriz/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
    ),
    folders=("cifar10/cifar-10-batches-bin", "cifar10", "cifar-10-batches-bin", ""),
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="as published by the author, who asks to cite the technical report",
    archive=File(
        "cifar-10-binary.tar.gz",
        60_000,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",  # of the published packing, for reference
        packed=170_052_171,
    ),
)

STROKES = Source(
    name="strokes",
    title="Digits drawn by genmodels from stroke skeletons",
    image_shape=(28, 28, 1),
    classes=DIGITS,
    files=_idx(
        ("edf19c0ced84e554b24b5da1827bf3bbd22702ccd372c1ea495a628e8eb64c21", 60_000),
        ("198aa587f2276275f0b9f66e82614c8dd3247c266fccf273368a5e97fcbaec05", 60_000),
        ("0a3f6d58e873cd51dc6d45104ffe2390f41cf7ba6a0c26940c531a08a927650a", 10_000),
        ("79bb04b7e5b5127b9860c71fdd88f4a131f271aec527a29cd159f15c2aecf7be", 10_000),
    ),
    mirrors=(),
    folders=("strokes", ""),
    homepage="",
    licence="MIT, as genmodels",
)

SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST, CIFAR10, STROKES)}
