"""Loaders: what the real files hold, and what is said of files that are absent or damaged."""

from __future__ import annotations

import gzip
import io
import os
import struct
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import Bunch

from sk_prunefair import datasets
from sk_prunefair.datasets import _adult, _fashion_mnist, _files, _german, _utkface_files

ADULT_ROW = (
    "39, ?, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 0, 0,"
    " 40, Cuba, <=50K\n"
)
COMPAS_HEADER = ",".join(
    [
        "sex,age,age_cat,race,juv_fel_count,juv_misd_count,juv_other_count,priors_count",
        "days_b_screening_arrest,c_charge_degree,is_recid,decile_score,score_text,two_year_recid",
    ]
)
GERMAN_ROW = (
    "A11 6 A34 A410 1169 A65 A75 4 A92 A101 4 A121 25 A143 A152 2 A173 1 A192 A201 1\n"
    "A12 48 A32 A43 5951 A61 A73 2 A93 A101 2 A121 26 A143 A152 1 A173 1 A191 A201 2\n"
)


@pytest.fixture(scope="module")
def real() -> Path:
    """Return the folder of the real data, or skip the test."""
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("SK_PRUNEFAIR_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no data: neither SK_PRUNEFAIR_DATA nor {beside} is a folder")
    return folder


def real_folder(home: Path, name: str) -> Path:
    """Return one folder of the real data, or skip the test."""
    if not (home / name).is_dir():
        pytest.skip(f"no data: {home} has no folder {name}")
    return home / name


def assert_aligned(bunch: Bunch, groups: list[str]) -> None:
    """Check what holds of every loader."""
    frame = bunch.sensitive_features
    assert list(frame.columns) == groups
    assert len(bunch.data) == len(bunch.target) == len(frame)
    assert frame.index.equals(pd.RangeIndex(len(frame)))
    assert all(isinstance(value, str) for value in frame.to_numpy().ravel()[:50])
    assert not frame.isna().any(axis=None)
    assert bunch.DESCR.endswith(".")


def assert_images(data: np.ndarray, shape: tuple[int, ...]) -> None:
    """Check dtype, shape and range of images."""
    assert data.dtype == np.float32
    assert data.shape == shape
    assert data.flags.c_contiguous
    assert data.min() >= 0
    assert data.max() <= 1


# Long tail and digits


def test_long_tailed_counts_by_hand() -> None:
    target = np.repeat([3, 1, 2], [120, 100, 110])
    rows = datasets.long_tailed(target, ratio=25, random_state=0)
    # Class 1 serves 100; then 100 / 5 and 100 / 25.
    assert Counter(target[rows]) == {1: 100, 2: 20, 3: 4}
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()


def test_long_tailed_starts_at_a_size_that_every_class_can_serve() -> None:
    target = np.repeat(["a", "b"], [100, 10])
    assert Counter(target[datasets.long_tailed(target, 2, 0)]) == {"a": 20, "b": 10}
    assert Counter(target[datasets.long_tailed(target, 1, 0)]) == {"a": 10, "b": 10}
    assert len(datasets.long_tailed(["only"] * 7, 5)) == 7


def test_long_tailed_follows_random_state() -> None:
    target = np.repeat([0, 1], 50)
    first, again, other = (datasets.long_tailed(target, 10, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("ratio", [0.5, 0, -1, float("nan"), "20", True, None])
def test_long_tailed_bad_ratio_raises(ratio: Any) -> None:
    with pytest.raises(ValueError, match=r"ratio must be a finite number >= 1, got"):
        datasets.long_tailed([0, 1], ratio)


def test_long_tailed_ratio_that_leaves_a_class_empty_raises() -> None:
    with pytest.raises(ValueError, match=r"ratio=1000 leaves no row for the last class"):
        datasets.long_tailed([0, 0, 1, 1], 1000)
    with pytest.raises(ValueError, match=r"target must hold at least one label"):
        datasets.long_tailed([], 2)


def test_load_digits_whole_is_aligned_and_scaled() -> None:
    digits = datasets.load_digits()
    assert_aligned(digits, ["digit"])
    assert_images(digits.data, (1797, 1, 8, 8))
    assert digits.data.max() == 1
    assert digits.sensitive_features["digit"].tolist() == [str(label) for label in digits.target]
    assert digits.target_names[7] == "7"


def test_load_digits_long_tail_has_counts_by_hand() -> None:
    digits = datasets.load_digits(long_tail=20, random_state=0)
    assert np.bincount(digits.target).tolist() == [178, 128, 91, 66, 47, 34, 24, 17, 12, 9]
    assert "1191 of 1797 images were dropped" in digits.DESCR
    assert_aligned(digits, ["digit"])
    whole = {image.tobytes() for image in datasets.load_digits().data}
    assert all(image.tobytes() in whole for image in digits.data)


def test_load_digits_bad_long_tail_raises() -> None:
    with pytest.raises(ValueError, match=r"long_tail must be a finite number >= 1, got 0.5"):
        datasets.load_digits(long_tail=0.5)
    with pytest.raises(ValueError, match=r"long_tail=5000 leaves no row for the last class"):
        datasets.load_digits(long_tail=5000)


# Where files are looked for


def test_data_folder_without_data_home_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SK_PRUNEFAIR_DATA", str(tmp_path))
    assert _files.data_folder(None) == tmp_path
    assert _files.data_folder("elsewhere") == Path("elsewhere")
    monkeypatch.delenv("SK_PRUNEFAIR_DATA")
    assert _files.data_folder(None) == Path.home() / "sk_prunefair_data"
    with pytest.raises(TypeError, match=r"data_home must be a path or None, got 3"):
        datasets.load_compas(data_home=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("load", "wanted", "where"),
    [
        (datasets.load_compas, "compas-scores-two-years.csv", "propublica/compas-analysis"),
        (datasets.load_utkface, "UTKFace", "susanqq.github.io/UTKFace"),
    ],
)
def test_load_absent_files_without_a_download_raise_and_say_where(
    load: Any, wanted: str, where: str, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError) as error:
        load(data_home=tmp_path)
    for part in (wanted, where, str(tmp_path), "data_home=", "SK_PRUNEFAIR_DATA"):
        assert part in str(error.value)


LOADERS_THAT_DOWNLOAD = [
    (datasets.load_adult, _adult, "fetch_adult", "adult.data"),
    (datasets.load_german, _german, "fetch_openml", "german.data"),
    (datasets.load_fashion_mnist, _fashion_mnist, "fetch_openml", "train-images-idx3-ubyte"),
]


@pytest.mark.parametrize(("load", "module", "fetcher", "wanted"), LOADERS_THAT_DOWNLOAD)
def test_load_absent_files_with_a_failed_download_raise_and_say_where(
    load: Any,
    module: Any,
    fetcher: str,
    wanted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*args: Any, data_home: str, **options: Any) -> None:
        assert data_home == str(tmp_path)
        raise OSError("no network")

    monkeypatch.setattr(module, fetcher, unreachable)
    with pytest.raises(FileNotFoundError, match=rf"{wanted}.*download failed: no network"):
        load(data_home=tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"{wanted}.*download_if_missing=True"):
        load(data_home=tmp_path, download_if_missing=False)


# Adult


@pytest.fixture(scope="module")
def adult_home(real: Path) -> Path:
    """Return the parent of the folder of Adult, or skip the test."""
    return real_folder(real, "adult").parent


@pytest.mark.parametrize(("subset", "n_rows"), [("train", 32_561), ("test", 16_281)])
def test_load_adult_real_files_have_their_rows_and_columns(
    real: Path, subset: str, n_rows: int
) -> None:
    adult = datasets.load_adult(data_home=real_folder(real, "adult"), subset=subset)
    assert_aligned(adult, ["sex", "race"])
    assert adult.data.shape == (n_rows, 14)
    assert set(adult.target) == set(adult.target_names) == {"<=50K", ">50K"}
    assert adult.data.select_dtypes("category").shape[1] == 8
    assert adult.data.select_dtypes("int64").shape[1] == 6
    assert not adult.data.isna().any(axis=None)
    assert not (adult.data == "?").any(axis=None)


def test_load_adult_real_files_have_their_groups(adult_home: Path) -> None:
    adult = datasets.load_adult(data_home=adult_home)
    assert adult.sensitive_features["race"].value_counts().to_dict() == {
        "White": 27_816,
        "Black": 3_124,
        "Asian-Pac-Islander": 1_039,
        "Amer-Indian-Eskimo": 311,
        "Other": 271,
    }
    assert adult.sensitive_features["sex"].value_counts().to_dict() == {
        "Male": 21_790,
        "Female": 10_771,
    }
    assert (adult.target == ">50K").sum() == 7_841
    assert (adult.data["workclass"] == "Unknown").sum() == 1_836


def test_load_adult_one_hot_encodes_out_of_the_box(adult_home: Path) -> None:
    train, test, both = (
        datasets.load_adult(data_home=adult_home, subset=subset)
        for subset in ("train", "test", "all")
    )
    encoder = OneHotEncoder().fit(train.data.select_dtypes("category"))
    assert encoder.transform(test.data.select_dtypes("category")).shape[0] == 16_281
    assert both.target.tolist() == [*train.target, *test.target]
    assert both.data["fnlwgt"].tolist() == [*train.data["fnlwgt"], *test.data["fnlwgt"]]


def as_openml(bunch: Bunch) -> Bunch:
    """Return Adult as fairlearn gives it: categories, NaN where unknown, target as categories."""
    data = bunch.data.copy()
    for column in data.select_dtypes("category"):
        data[column] = data[column].cat.remove_categories(
            {"Unknown"} & set(data[column].cat.categories)
        )
    return Bunch(data=data, target=pd.Series(bunch.target, name="class").astype("category"))


@pytest.mark.slow
@pytest.mark.parametrize("train_first", [True, False])
@pytest.mark.parametrize("subset", ["train", "test"])
def test_load_adult_download_finds_the_subset(
    adult_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    subset: str,
    train_first: bool,
) -> None:
    local = datasets.load_adult(data_home=adult_home, subset=subset)
    joined = datasets.load_adult(data_home=adult_home, subset="all")
    if not train_first:
        order = np.roll(np.arange(48_842), 16_281)
        joined.data = joined.data.iloc[order].reset_index(drop=True)
        joined.target = joined.target[order]
    monkeypatch.setattr(_adult, "fetch_adult", lambda **options: as_openml(joined))
    downloaded = datasets.load_adult(data_home=tmp_path, subset=subset)
    pd.testing.assert_frame_equal(downloaded.data, local.data)
    pd.testing.assert_frame_equal(downloaded.sensitive_features, local.sensitive_features)
    np.testing.assert_array_equal(downloaded.target, local.target)


def test_load_adult_download_of_unknown_order_gives_all_or_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adult.data").write_text(ADULT_ROW * 3)
    table = as_openml(datasets.load_adult(data_home=tmp_path))
    monkeypatch.setattr(_adult, "fetch_adult", lambda **options: table)
    adult = datasets.load_adult(data_home=tmp_path / "empty", subset="all")
    assert_aligned(adult, ["sex", "race"])
    assert adult.data["workclass"].tolist() == ["Unknown"] * 3
    with pytest.raises(ValueError, match=r"subset='test'.*download has 3 rows.*data_home="):
        datasets.load_adult(data_home=tmp_path / "empty", subset="test")


def test_load_adult_test_file_is_cleaned(tmp_path: Path) -> None:
    text = "|1x3 Cross validator\n" + ADULT_ROW.replace("<=50K", ">50K.") + "\n"
    (tmp_path / "adult.test").write_text(text)
    adult = datasets.load_adult(data_home=tmp_path, subset="test")
    assert adult.target.tolist() == [">50K"]
    assert adult.data.loc[0, ["workclass", "age"]].tolist() == ["Unknown", 39]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"adult\.data is not a readable table"),
        ("1, 2, 3\n", r"adult\.data must have 15 values in a row, got 3"),
        (ADULT_ROW.replace("<=50K", "rich"), r"column 'class' must hold .*got 'rich' in row 0"),
        (ADULT_ROW.replace("39", "old"), r"column 'age' is not int64"),
    ],
)
def test_load_adult_damaged_file_raises(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "adult.data").write_text(text)
    with pytest.raises(ValueError, match=message):
        datasets.load_adult(data_home=tmp_path)


@pytest.mark.parametrize("load", [datasets.load_adult, datasets.load_fashion_mnist])
@pytest.mark.parametrize("subset", ["valid", None, ["train"]])
def test_load_unknown_subset_raises(load: Any, subset: Any) -> None:
    with pytest.raises(ValueError, match=r"subset must be one of \['train', 'test'.*got"):
        load(subset=subset)


# COMPAS and German credit


def test_load_compas_real_file_has_its_rows_and_groups(real: Path) -> None:
    compas = datasets.load_compas(data_home=real_folder(real, "compas"))
    assert_aligned(compas, ["sex", "race"])
    assert compas.data.shape == (7_214, 10)
    assert not {"is_recid", "decile_score", "score_text", "two_year_recid"} & set(compas.data)
    races = compas.sensitive_features["race"].value_counts()
    assert (len(races), races["Asian"], races["Native American"]) == (6, 32, 18)
    assert np.bincount(compas.target).tolist() == [3_963, 3_251]
    missing = compas.data.isna().sum()
    assert missing[missing > 0].to_dict() == {"days_b_screening_arrest": 307}


def test_load_compas_wider_file_ignores_its_columns(tmp_path: Path) -> None:
    row = "Male,30,25 - 45,Asian,0,0,0,0,-1.0,F,0,1,Low,1"
    (tmp_path / "compas").mkdir()
    (tmp_path / "compas" / "compas-scores-two-years.csv").write_text(
        f"name,{COMPAS_HEADER}\nsomeone,{row}\n"
    )
    compas = datasets.load_compas(data_home=tmp_path)
    assert compas.data.shape == (1, 10)
    assert compas.target.tolist() == [1]
    assert "is_recid" in compas.DESCR


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sex,age\nMale,3\n", r"lacks the columns \['age_cat'"),
        (COMPAS_HEADER + "\nMale,30,x,Asian,0,0,0,0,-1,F,0,1,Low,2\n", r"two_year_recid.*got 2"),
    ],
)
def test_load_compas_damaged_file_raises(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "compas-scores-two-years.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        datasets.load_compas(data_home=tmp_path)


def test_load_german_real_file_has_its_rows_and_groups(real: Path) -> None:
    german = datasets.load_german(data_home=real_folder(real, "german"))
    assert_aligned(german, ["sex", "age"])
    assert german.data.shape == (1_000, 20)
    assert Counter(german.target.tolist()) == {"good": 700, "bad": 300}
    groups = german.sensitive_features.value_counts().to_dict()
    assert groups == {
        ("Male", ">25"): 605,
        ("Female", ">25"): 205,
        ("Female", "<=25"): 105,
        ("Male", "<=25"): 85,
    }
    assert german.data.select_dtypes("category").shape[1] == 13
    # The file counts purposes from A40 and all others from 1.
    assert german.data.loc[0, ["purpose", "housing", "job"]].tolist() == [
        "radio/tv",
        "own",
        "skilled",
    ]


def test_load_german_codes_become_words_by_hand(tmp_path: Path) -> None:
    (tmp_path / "german.data").write_text(GERMAN_ROW)
    german = datasets.load_german(data_home=tmp_path)
    assert german.data.loc[0, ["checking_status", "credit_history", "purpose"]].tolist() == [
        "<0",
        "critical/other existing credit",
        "other",
    ]
    assert german.data["foreign_worker"].tolist() == ["yes", "yes"]
    assert german.sensitive_features.to_numpy().tolist() == [["Female", "<=25"], ["Male", ">25"]]
    assert german.target.tolist() == ["good", "bad"]


def test_load_german_download_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "german.data").write_text(GERMAN_ROW)
    local = datasets.load_german(data_home=tmp_path)
    target = pd.Series(local.target).astype("category")

    def fetch(name: str, version: int, **options: Any) -> Bunch:
        assert (name, version) == ("credit-g", 1)
        return Bunch(data=local.data.copy(), target=target)

    monkeypatch.setattr(_german, "fetch_openml", fetch)
    downloaded = datasets.load_german(data_home=tmp_path / "empty")
    pd.testing.assert_frame_equal(downloaded.data, local.data)
    pd.testing.assert_frame_equal(downloaded.sensitive_features, local.sensitive_features)
    np.testing.assert_array_equal(downloaded.target, local.target)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A11 6\n", r"must have 21 values in a row, got 2"),
        (GERMAN_ROW.replace("A92", "A99"), r"column 'personal_status' must hold .*got 'A99'"),
        (GERMAN_ROW.replace("A201 2", "A201 3"), r"column 'class' must hold \[1, 2\], got 3"),
    ],
)
def test_load_german_damaged_file_raises(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "german.data").write_text(text)
    with pytest.raises(ValueError, match=message):
        datasets.load_german(data_home=tmp_path)


# Fashion-MNIST


def test_load_fashion_mnist_test_subset_is_aligned_and_scaled(real: Path) -> None:
    clothes = datasets.load_fashion_mnist(
        data_home=real_folder(real, "fashion_mnist"), subset="test"
    )
    assert_aligned(clothes, ["class"])
    assert_images(clothes.data, (10_000, 1, 28, 28))
    assert clothes.data.max() == 1
    assert clothes.target.dtype == np.int64
    assert np.bincount(clothes.target).tolist() == [1_000] * 10
    assert clothes.sensitive_features["class"].iloc[0] == "Ankle boot"
    assert clothes.target[0] == 9


def test_load_fashion_mnist_long_tail_has_counts_by_hand(real: Path) -> None:
    real_folder(real, "fashion_mnist")
    clothes = datasets.load_fashion_mnist(data_home=real, long_tail=20, random_state=0)
    # 6000 · 20^(−i/9), rounded.
    expected = [6000, 4301, 3083, 2210, 1585, 1136, 814, 584, 418, 300]
    assert np.bincount(clothes.target).tolist() == expected
    assert_images(clothes.data, (sum(expected), 1, 28, 28))
    assert f"{60_000 - sum(expected)} of 60000 images were dropped" in clothes.DESCR


def idx(values: np.ndarray, magic: int | None = None) -> bytes:
    """Return an array in the IDX format."""
    header = struct.pack(f">{1 + values.ndim}I", magic or 0x0800 + values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


def write_fashion(folder: Path, images: bytes, labels: bytes) -> None:
    """Write the two files of the training subset, one packed and one plain."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (folder / "train-labels-idx1-ubyte").write_bytes(labels)


def test_load_fashion_mnist_packed_and_plain_files_are_the_same(tmp_path: Path) -> None:
    pixels = np.arange(3 * 784).reshape(3, 28, 28) % 256
    write_fashion(tmp_path / "fashion_mnist", idx(pixels), idx(np.array([2, 0, 9])))
    clothes = datasets.load_fashion_mnist(data_home=tmp_path)
    np.testing.assert_array_equal(clothes.data[:, 0], pixels.astype(np.float32) / np.float32(255))
    assert clothes.sensitive_features["class"].tolist() == ["Pullover", "T-shirt/top", "Ankle boot"]


PIXELS = idx(np.zeros((2, 28, 28)))
LABELS = idx(np.array([0, 1]))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS[:3], LABELS, r"images-idx3-ubyte\.gz ends within its header: 3 bytes"),
        (LABELS * 2, LABELS, r"magic number must be 2051, got 2049"),
        (PIXELS, idx(np.array([0, 1]), magic=7), r"magic number must be 2049, got 7"),
        (PIXELS[:-1], LABELS, r"must hold 1568 bytes after its header.*got 1567"),
        (PIXELS, LABELS + b"0", r"labels-idx1-ubyte must hold 2 bytes.*got 3"),
        (idx(np.zeros((2, 5, 5))), LABELS, r"images of 28×28, got \(5, 5\)"),
        (PIXELS, idx(np.array([0])), r"holds 2 images, but .* 1 labels"),
        (PIXELS, idx(np.array([0, 10])), r"labels from 0 to 9, got 10"),
    ],
)
def test_load_fashion_mnist_damaged_file_raises(
    images: bytes, labels: bytes, message: str, tmp_path: Path
) -> None:
    write_fashion(tmp_path, images, labels)
    with pytest.raises(ValueError, match=message):
        datasets.load_fashion_mnist(data_home=tmp_path)


@pytest.mark.parametrize(
    "raw", [b"no gzip", gzip.compress(PIXELS)[:-12]], ids=["no gzip", "cut short"]
)
def test_load_fashion_mnist_damaged_gzip_raises(raw: bytes, tmp_path: Path) -> None:
    write_fashion(tmp_path, PIXELS, LABELS)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(raw)
    with pytest.raises(ValueError, match=r"images-idx3-ubyte\.gz is not a readable gzip file"):
        datasets.load_fashion_mnist(data_home=tmp_path)


def test_load_fashion_mnist_bad_long_tail_raises() -> None:
    with pytest.raises(ValueError, match=r"long_tail must be a finite number >= 1, got 0"):
        datasets.load_fashion_mnist(long_tail=0)


@pytest.mark.slow
def test_load_fashion_mnist_download_gives_the_same(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_folder(real, "fashion_mnist")
    local = datasets.load_fashion_mnist(data_home=real, subset="test")
    pixels = (local.data * 255).round().reshape(-1, 784)
    labels = local.target.astype(str).astype(object)
    before = Bunch(
        data=np.vstack([np.zeros((5, 784)), pixels]), target=np.append(["0"] * 5, labels)
    )
    monkeypatch.setattr(_fashion_mnist, "fetch_openml", lambda *args, **options: before)
    downloaded = datasets.load_fashion_mnist(data_home=tmp_path, subset="test")
    np.testing.assert_array_equal(downloaded.data, local.data)
    np.testing.assert_array_equal(downloaded.target, local.target)
    with pytest.raises(ValueError, match=r"subset='train'.*neither its first nor its last 60000"):
        datasets.load_fashion_mnist(data_home=tmp_path)


# UTKFace


@pytest.fixture(scope="module")
def faces(real: Path) -> Bunch:
    """Return all faces, tiny, for decoding them is what takes time."""
    return datasets.load_utkface(
        data_home=real_folder(real, "utkface48"),
        size=4,
        target="gender",
        sensitive_features=["race", "age"],
    )


@pytest.mark.slow
def test_load_utkface_real_files_drops_copies(faces: Bunch) -> None:
    assert faces.n_dropped == {"unlabelled": 3, "copies": 118, "conflicting": 531}
    assert len(faces.data) == 23_705 - 118 - 531 == 23_056
    for number in faces.n_dropped.values():
        assert f" {number} " in faces.DESCR
    assert_aligned(faces, ["race", "age"])
    assert_images(faces.data, (23_056, 3, 4, 4))
    assert faces.filenames.tolist() == sorted(set(faces.filenames))


@pytest.mark.slow
def test_load_utkface_real_files_agree_with_the_index(faces: Bunch, real: Path) -> None:
    index = pd.read_csv(real / "utkface48" / "index.csv").set_index("file")
    races = index["race"].value_counts()
    assert [races[race] for race in range(5)] == [10_078, 4_526, 3_434, 3_975, 1_692]
    kept = index.loc[faces.filenames]
    names = kept["race"].map({0: "White", 1: "Black", 2: "Asian", 3: "Indian", 4: "Other"})
    assert faces.sensitive_features["race"].tolist() == names.tolist()
    np.testing.assert_array_equal(faces.target, kept["gender"])
    assert faces.target_names == ["Male", "Female"]
    # One name for each set of byte-identical files; the index points each copy at one original.
    sets = kept["duplicate_of"].fillna(pd.Series(kept.index, index=kept.index))
    assert sets.is_unique


@pytest.mark.slow
def test_load_utkface_sample_at_stored_size_is_as_stored(real: Path) -> None:
    sample = datasets.load_utkface(
        data_home=real_folder(real, "utkface48") / "UTKFace48.tar.xz",
        n_samples=200,
        keep_duplicates=True,
        random_state=0,
    )
    assert_aligned(sample, ["race"])
    assert_images(sample.data, (200, 3, 48, 48))
    assert sample.n_dropped == {"unlabelled": 3}
    assert sample.data.std() > 0.1
    names = np.array(sample.target_names)[sample.target]
    assert names.tolist() == sample.sensitive_features["race"].tolist()


def png(shade: int, size: int = 6) -> bytes:
    """Return an image of one shade, without loss in spite of the name it will get."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (shade, 0, 255)).save(file, format="png")
    return file.getvalue()


SMALL = {
    "14_0_0_1.jpg": png(0),
    "15_1_1_1.jpg": png(51),
    "29_0_2_1.jpg": png(102),
    "60_1_4_1 .jpg.chip.jpg": png(153, size=9),
    "7_0_3_1.jpg": png(1),  # a copy with the same labels
    "7_0_3_2.jpg": png(1),
    "8_0_3_1.jpg": png(2),  # two copies, and a third that says otherwise
    "8_0_3_2.jpg": png(2),
    "8_1_3_3.jpg": png(2),
    "9_0_20170116.jpg": png(3),  # no race
    "readme.txt": b"no image",
}


@pytest.fixture(params=["folder", "parent", "tar", "tar.gz", "tar.xz", "archive in a folder"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a data_home with eleven small files, in each form that is accepted."""
    kind = request.param
    folder = tmp_path / "utkface" if kind == "parent" else tmp_path / "UTKFace"
    folder.mkdir()
    for name, raw in SMALL.items():
        (folder / name).write_bytes(raw)
    if kind in ("folder", "parent"):
        return folder if kind == "folder" else tmp_path
    suffix = kind if kind.startswith("tar") else "tar.gz"
    archive = tmp_path / "archives" / f"UTKFace.{suffix}"
    archive.parent.mkdir()
    with tarfile.open(archive, f"w:{suffix.removeprefix('tar').removeprefix('.')}") as file:
        file.add(folder, arcname="UTKFace")
    return archive if kind.startswith("tar") else archive.parent


def test_load_utkface_small_folder_by_hand(small: Path) -> None:
    faces = datasets.load_utkface(
        data_home=small, target="age", sensitive_features=["gender", "race", "age"], size=6
    )
    assert_aligned(faces, ["gender", "race", "age"])
    assert faces.filenames.tolist() == [
        "14_0_0_1.jpg",
        "15_1_1_1.jpg",
        "29_0_2_1.jpg",
        "60_1_4_1 .jpg.chip.jpg",
        "7_0_3_1.jpg",
    ]
    assert faces.sensitive_features.to_numpy().tolist() == [
        ["Male", "White", "0-14"],
        ["Female", "Black", "15-29"],
        ["Male", "Asian", "15-29"],
        ["Female", "Other", "60+"],
        ["Male", "Indian", "0-14"],
    ]
    assert faces.target.tolist() == [0, 1, 1, 4, 0]
    assert faces.target_names == ["0-14", "15-29", "30-44", "45-59", "60+"]
    assert faces.n_dropped == {"unlabelled": 1, "copies": 1, "conflicting": 3}
    assert_images(faces.data, (5, 3, 6, 6))
    np.testing.assert_allclose(faces.data[:, 0, 0, 0], [0, 0.2, 0.4, 0.6, 1 / 255], rtol=1e-6)
    assert (faces.data[:, 1] == 0).all()
    assert (faces.data[:, 2] == 1).all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the small files."""
    for name, raw in SMALL.items():
        (tmp_path / name).write_bytes(raw)
    return tmp_path


def test_load_utkface_keep_duplicates_keeps_them(folder: Path) -> None:
    faces = datasets.load_utkface(data_home=folder, size=6, keep_duplicates=True)
    assert len(faces.data) == 9
    assert faces.n_dropped == {"unlabelled": 1}
    assert "byte-identical files were kept" in faces.DESCR


def test_load_utkface_n_samples_draws_a_seeded_sample(folder: Path) -> None:
    draws = [
        datasets.load_utkface(data_home=folder, size=6, n_samples=3, random_state=seed).filenames
        for seed in (0, 0, 1, 2, 3)
    ]
    assert all(draw.tolist() == sorted(draw) for draw in draws)
    assert draws[0].tolist() == draws[1].tolist()
    assert len({tuple(draw) for draw in draws}) > 1
    with pytest.raises(ValueError, match=r"n_samples must be at most 5, .*got 6"):
        datasets.load_utkface(data_home=folder, n_samples=6)


def test_load_utkface_broken_images_not_kept_are_not_decoded(folder: Path) -> None:
    (folder / "9_0_20170116.jpg").write_bytes(b"broken, but without a race")
    for name in ("8_0_3_1.jpg", "8_1_3_3.jpg", "8_0_3_2.jpg"):
        (folder / name).write_bytes(b"broken, but in conflict")
    assert len(datasets.load_utkface(data_home=folder, size=6).data) == 5
    (folder / "14_0_0_1.jpg").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"data_home: 14_0_0_1\.jpg is not a readable image"):
        datasets.load_utkface(data_home=folder, size=6)


def test_load_utkface_size_and_age_bins_are_those_asked_for(folder: Path) -> None:
    faces = datasets.load_utkface(
        data_home=folder, size=3, target="age", age_bins=[10, 20], sensitive_features="gender"
    )
    assert faces.data.shape == (5, 3, 3, 3)
    assert faces.target_names == ["0-9", "10-19", "20+"]
    assert faces.target.tolist() == [1, 1, 2, 2, 0]
    assert list(faces.sensitive_features) == ["gender"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("target", "sex", r"target must be one of \['race', 'gender', 'age'\], got 'sex'"),
        ("sensitive_features", ["race", "sex"], r"sensitive_features must be one of .*got 'sex'"),
        ("sensitive_features", [], r"sensitive_features must be one or more of .*got \[\]"),
        ("sensitive_features", ["race", "race"], r"sensitive_features .*each once, got"),
        ("size", 0, r"size must be an integer >= 1, got 0"),
        ("size", 4.5, r"size must be an integer >= 1, got 4.5"),
        ("n_samples", -1, r"n_samples must be an integer >= 1, got -1"),
        ("age_bins", [], r"age_bins must be ascending integers >= 1, got \[\]"),
        ("age_bins", [30, 15], r"age_bins must be ascending integers >= 1, got \[30, 15\]"),
        ("age_bins", 30, r"age_bins must be ascending integers >= 1, got 30"),
    ],
)
def test_load_utkface_bad_options_raise(
    option: str, value: Any, message: str, folder: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        datasets.load_utkface(data_home=folder, **{option: value})


def test_load_utkface_damaged_sources_raise(tmp_path: Path) -> None:
    archive = tmp_path / "UTKFace.tar.xz"
    archive.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"UTKFace\.tar\.xz is not a readable tar archive"):
        datasets.load_utkface(data_home=tmp_path)
    with tarfile.open(archive, "w:xz"):
        pass
    with pytest.raises(ValueError, match=r"UTKFace\.tar\.xz holds no \.jpg files"):
        datasets.load_utkface(data_home=tmp_path)
    (tmp_path / "holiday.jpg").write_bytes(png(0))
    with pytest.raises(ValueError, match=r"age_gender_race_date\.jpg, for example 'holiday\.jpg'"):
        datasets.load_utkface(data_home=tmp_path)


def test_load_utkface_truncated_archive_raises(tmp_path: Path) -> None:
    archive = tmp_path / "UTKFace.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        member = tarfile.TarInfo("1_0_0_1.jpg")
        member.size = 100_000
        file.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(member.size)))
    archive.write_bytes(archive.read_bytes()[:50_000])
    with pytest.raises(ValueError, match=r"UTKFace\.tar\.gz is not a readable tar archive"):
        datasets.load_utkface(data_home=tmp_path)


def test_load_utkface_without_pillow_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "sk-prunefair\[images\]"'):
        datasets.load_utkface(data_home=folder)


def test_load_utkface_verbose_shows_bars_only_on_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets.load_utkface(data_home=folder, size=6, verbose=1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    datasets.load_utkface(data_home=folder, size=6)
    assert capsys.readouterr().err == ""
    assert list(_utkface_files.progress([1, 2], verbose=1, label="Decoding")) == [1, 2]
    assert "Decoding" in capsys.readouterr().err
