"""Data that stands in files: the same nets and reports, without a copy in memory."""

import mmap
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair import FairPrunedClassifier, PruneRateSearchCV, pruning_curve
from sk_prunefair.data.labels import read_labels
from sk_prunefair.data.mapped import MappedRows, is_mapped
from sk_prunefair.data.sources import take_rows
from sk_prunefair.modules import MLP
from sk_prunefair.selection import NoRateError


def stored(path, array):
    found = np.memmap(path, dtype=array.dtype, mode="w+", shape=array.shape)
    found[:] = array
    found.flush()
    return np.memmap(path, dtype=array.dtype, mode="r", shape=array.shape)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int), rng.integers(0, 3, 400)


def make_net(**options):
    given = {"max_epochs": 2, "lr": 0.1, "verbose": 0, "random_state": 0} | options
    return FairPrunedClassifier(MLP, criterion=nn.CrossEntropyLoss, **given)


def weights(net):
    return torch.cat([each.flatten() for each in net.module_.state_dict().values()])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int16", ">f4"])
def test_fit_of_memmap_equals_fit_of_array(tmp_path, table, dtype):
    X, y, group = table
    X = (4 * X).astype(dtype)
    weight = np.random.default_rng(1).random(len(X))
    nets = [make_net(), make_net()]
    for net, given in zip(nets, (X, stored(tmp_path / "X", X)), strict=True):
        net.fit(given, y, sensitive_features=group, sample_weight=weight)
        net.prune(0.5, given, y, sensitive_features=group, finetune_epochs=1)
    assert torch.equal(*map(weights, nets))
    of_file = nets[1].fairness_report(stored(tmp_path / "X", X), y, sensitive_features=group)
    of_array = nets[0].fairness_report(X, y, sensitive_features=group)
    assert str(of_file) == str(of_array)
    assert nets[1].n_features_in_ == 6


@pytest.mark.slow
@pytest.mark.parametrize("rows", [50, 100_000])
def test_report_without_samples_equals_the_one_with(tmp_path, table, rows, monkeypatch):
    monkeypatch.setattr("sk_prunefair.net_parts.PART_ROWS", rows)
    X, y, group = table
    words = np.array(["no", "yes"])[y]
    net = make_net(batch_size=16, prune_rate=0.7).fit(X, words, sensitive_features=group)
    mapped, level = stored(tmp_path / "X", X), np.arange(400) % 2
    given = {"sensitive_features": group, "control_features": level}
    found = net.fairness_report(mapped, words, **given, samples=False)
    expected = net.fairness_report(mapped, words, **given)
    assert str(found) == str(expected)
    assert found.labels.tolist() == ["no", "yes"]
    assert len(found.samples) < 400 == found.n_samples
    with pytest.raises(ValueError, match="diagnostics, which need the samples"):
        net.fairness_report(X, words, **given, samples=False, diagnostics=True)
    with pytest.raises(ValueError, match=r"sensitive_features .* must be given"):
        net.fairness_report(X, words, samples=False)
    items = list(zip(torch.tensor(X), words.tolist(), group.tolist(), strict=True))
    of_items = net.fairness_report(Listed(items), samples=False)
    assert str(of_items) == str(net.fairness_report(X, words, sensitive_features=group))


class Listed(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


def test_fit_dict_of_memmaps_equals_dict_of_arrays(tmp_path, table):
    class Two(nn.Module):
        def __init__(self, n_token=1):
            super().__init__()
            self.embed, self.head = nn.Embedding(n_token, 4), nn.Linear(10, 2)

        def forward(self, token, dense):
            return self.head(torch.cat([self.embed(token), dense], 1))

    X, y, group = table
    arrays = {"token": group.astype(np.int32), "dense": X}
    files = {name: stored(tmp_path / name, each) for name, each in arrays.items()}
    nets = []
    for given in (arrays, files):
        net = FairPrunedClassifier(
            Two, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0, random_state=0
        )
        nets.append(net.fit(given, y, sensitive_features=group))
    assert nets[1].module_.embed.num_embeddings == 3
    assert torch.equal(*map(weights, nets))


def test_fit_memmap_with_nan_raises_and_keeps_the_net(tmp_path, table):
    X, y, group = table
    net = make_net().fit(X, y, sensitive_features=group)
    before = weights(net)
    bad = X.copy()
    bad[390, 2] = np.nan
    mapped = stored(tmp_path / "X", bad)
    with pytest.raises(ValueError, match="contains NaN"):
        net.fit(mapped, y, sensitive_features=group)
    assert torch.equal(weights(net), before)
    with pytest.raises(ValueError, match="contains NaN"):
        net.predict(mapped)


def test_predict_memmap_of_other_width_raises(tmp_path, table):
    X, y, group = table
    net = make_net().fit(stored(tmp_path / "X", X), y, sensitive_features=group)
    with pytest.raises(ValueError, match="5 features"):
        net.predict(stored(tmp_path / "X5", X[:, :5]))


def test_predict_fractions_of_a_file_for_integers_raises(tmp_path):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

        def forward(self, X):
            return self.head(self.embed(X).mean(1))

    X = np.random.default_rng(0).integers(0, 9, (60, 3)).astype(np.int32)
    net = FairPrunedClassifier(Tokens, criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0)
    net.fit(stored(tmp_path / "X", X), X[:, 0] % 2)
    with pytest.raises(ValueError, match="not whole"):
        net.predict(stored(tmp_path / "half", X + 0.5))


@pytest.mark.filterwarnings("ignore:too few held-out samples")
def test_curve_and_search_of_memmap_equal_those_of_array(tmp_path, table):
    X, y, group = table
    mapped = stored(tmp_path / "X", X)
    frames, errors = [], []
    for given in (X, mapped):
        frames.append(
            pruning_curve(
                make_net(), given, y, sensitive_features=group, rates=[0.5, 0.9], cv=2, verbose=0
            )
        )
        with pytest.raises(NoRateError) as error:
            PruneRateSearchCV(make_net(), rates=[0.9], random_state=0, verbose=0).fit(
                given, y, sensitive_features=group
            )
        errors.append(error.value.results)
    assert frames[0].equals(frames[1])
    assert errors[0].equals(errors[1])


def test_take_rows_of_memmap_keeps_row_numbers_alone(tmp_path, table):
    X = table[0]
    rows = take_rows(take_rows(stored(tmp_path / "X", X), np.array([5, 3, 9])), np.array([2, 0]))
    assert isinstance(rows, MappedRows)
    assert rows.shape == (2, 6)
    np.testing.assert_array_equal(np.asarray(rows), X[[9, 5]])
    np.testing.assert_array_equal(rows[:1], X[[9]])


def test_is_mapped_views_and_arrays_are_told_apart(tmp_path, table):
    mapped = stored(tmp_path / "X", table[0])
    assert is_mapped(mapped)
    assert is_mapped(np.asarray(mapped)[::2, 1:])
    assert not is_mapped(mapped * 2)
    assert not is_mapped(table[0][1:])
    np.save(tmp_path / "X.npy", table[0])
    assert is_mapped(np.load(tmp_path / "X.npy", mmap_mode="r"))


def test_is_mapped_array_over_a_mapped_file_is_one(tmp_path, table):
    stored(tmp_path / "X", table[0])
    with (tmp_path / "X").open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert is_mapped(np.ndarray((400, 6), np.float32, memory))
    assert not is_mapped([1, 2])


def test_mapped_rows_shape_and_values_are_those_of_the_rows(tmp_path, table):
    X = table[0]
    whole = MappedRows.of(stored(tmp_path / "X", X))
    assert MappedRows.of(whole) is whole
    rows = whole.take(np.array([5, 3, 9]))
    assert (len(whole), len(rows), rows.ndim, rows.dtype) == (400, 3, 2, np.float32)
    np.testing.assert_array_equal(rows, X[[5, 3, 9]])
    assert np.asarray(rows, dtype=np.float64).dtype == np.float64
    # What is asked for is an array of its own, not the file's.
    part = whole[2:4]
    np.testing.assert_array_equal(part, X[2:4])
    assert not np.may_share_memory(part, whole.array)
    doubled = rows.settled(lambda values: 2 * values).take(np.array([2]))
    np.testing.assert_array_equal(doubled[:], 2 * X[[9]])


class Hdf5(torch.utils.data.Dataset):
    """Rows of an HDF5 file, read a batch at a time."""

    def __init__(self, path):
        self.path, self.reads = path, []

    def __len__(self):
        h5py = pytest.importorskip("h5py")
        with h5py.File(self.path) as file:
            return len(file["y"])

    def __getitem__(self, row):
        return self.__getitems__([row])[0]

    def __getitems__(self, rows):
        h5py = pytest.importorskip("h5py")
        order = np.argsort(rows)
        back = np.argsort(order)
        self.reads.append(len(rows))
        with h5py.File(self.path) as file:
            found = [file[name][np.asarray(rows)[order]][back] for name in ("X", "y", "group")]
        return list(zip(*found, strict=True))


def test_fit_hdf5_data_set_equals_array_and_reads_batches(tmp_path, table):
    h5py = pytest.importorskip("h5py")
    X, y, group = table
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["y"], file["group"] = X, y, group
    data = Hdf5(tmp_path / "data.h5")
    of_file = FairPrunedClassifier(
        MLP(6, 2), criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0, random_state=0
    )
    of_array = of_file.__class__(**of_file.get_params())
    of_file.fit(data)
    of_array.fit(X, y, sensitive_features=group)
    assert torch.equal(weights(of_file), weights(of_array))
    assert str(of_file.fairness_report(data)) == str(
        of_array.fairness_report(X, y, sensitive_features=group)
    )
    assert sum(size == 1 for size in data.reads) < 20  # what an item looks like
    assert max(data.reads) >= 128


def test_read_labels_of_items_some_without_group_takes_no_groups():
    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return 2000

        def __getitem__(self, row):
            return (torch.zeros(2), row % 2, "a" if row < 1500 else None)

    y, group = read_labels(Items())
    assert y.tolist() == [0, 1] * 1000
    assert group is None


def test_fit_parquet_through_arrow_equals_dict_of_arrays(tmp_path, table):
    datasets = pytest.importorskip("datasets")

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(6, 2)

        def forward(self, X):
            return self.net(X)

    X, y, group = table
    features = datasets.Features(
        {
            "X": datasets.Sequence(datasets.Value("float32"), length=6),
            "label": datasets.Value("int64"),
        }
    )
    made = datasets.Dataset.from_dict({"X": X.tolist(), "label": y.tolist()}, features=features)
    made.to_parquet(tmp_path / "data.parquet")
    read = datasets.Dataset.from_parquet(
        str(tmp_path / "data.parquet"), cache_dir=str(tmp_path / "cache")
    )
    nets = []
    for given, labels in ((read, None), ({"X": X}, y)):
        net = FairPrunedClassifier(
            Named, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0, random_state=0
        )
        nets.append(net.fit(given, labels, sensitive_features=group))
    assert torch.equal(*map(weights, nets))


MEMORY = """
    import sys, threading, time
    import numpy as np, torch
    from torch import nn
    from sk_prunefair import FairPrunedClassifier, pruning_curve
    from sk_prunefair.modules import MLP

    def private():
        lines = open("/proc/self/status").read().splitlines()
        [line] = [line for line in lines if line.startswith("RssAnon")]
        return int(line.split()[1]) / 1024

    def run(X, y, group):
        net = FairPrunedClassifier(
            MLP, criterion=nn.CrossEntropyLoss, max_epochs=1, batch_size=1024, verbose=0,
            random_state=0,
        )
        net.fit(X, y, sensitive_features=group, sample_weight=np.ones(len(X)))
        net.prune(0.8, X, y, sensitive_features=group, finetune_epochs=1)
        net.predict(X)
        net.fairness_report(X, y, sensitive_features=group)
        pruning_curve(net, X, y, sensitive_features=group, rates=[0.5], verbose=0)

    X = np.memmap(sys.argv[1], dtype=sys.argv[2], mode="r").reshape(-1, 256)
    y, group = np.arange(len(X)) % 2, np.arange(len(X)) // 2 % 3
    run(X[:1000], y[:1000], group[:1000])  # what is imported on the way
    before, most, done = private(), [0.0], threading.Event()

    def watch():
        while not done.is_set():
            most[0] = max(most[0], private())
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    run(X, y, group)
    done.set()
    watcher.join()
    print(most[0] - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="private memory is read as Linux tells it")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_of_100_mb_file_grows_by_a_small_part(tmp_path, dtype):
    path = tmp_path / "X"
    n_rows = 100 * 2**20 // (256 * np.dtype(dtype).itemsize)
    with path.open("wb") as file:
        rng = np.random.default_rng(0)
        for _ in range(0, n_rows, 1024):
            file.write(rng.normal(size=(1024, 256)).astype(dtype).tobytes())
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY), str(path), dtype],
        capture_output=True,
        text=True,
        check=True,
        # What is freed goes back at once, and is not counted: columns of the data, too.
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "100000"},
    )
    # A copy would be 100 MB, 50 where double precision becomes single.
    assert float(found.stdout) < 35
