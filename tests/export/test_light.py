"""Loading into a plain module needs torch and numpy alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from sk_prunefair.export import save_compact
from tests.conftest import classifier

# Runs where nothing else can be imported, as on a server that has not installed it.
SERVE = """
import sys

FORBIDDEN = {"sklearn", "skorch", "fairlearn", "pandas", "scipy", "joblib", "onnx"}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Refuse())

import numpy as np
import torch
from torch import nn
from sk_prunefair.export import load_compact

folder = sys.argv[1]
net = nn.Sequential(
    nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)
)
net = load_compact(folder + "/net.zip", net).eval()
with torch.no_grad():
    scores = net(torch.from_numpy(np.load(folder + "/X.npy")))
np.save(folder + "/scores.npy", scores.numpy())
print(sorted(FORBIDDEN & {name.partition(".")[0] for name in sys.modules}))
"""


def small():
    return nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["magnitude", "channel_magnitude"])
def test_load_compact_into_a_module_where_torch_and_numpy_are_all_there_is(
    digits, tmp_path, pruner
):
    if pruner.startswith("channel"):
        pytest.importorskip("torch_pruning")
    X, y, _ = digits
    clf = classifier(small(), max_epochs=1, prune_rate=0.5, pruner=pruner).fit(X, y)
    save_compact(clf, tmp_path / "net.zip")
    rows = X[:7].astype(np.float32)
    np.save(tmp_path / "X.npy", rows)
    command = [sys.executable, "-W", "error", "-c", SERVE, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"
    with torch.no_grad():
        expected = clf.module_.eval()(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, atol=1e-5)


@pytest.mark.slow
def test_load_compact_of_a_damaged_file_where_torch_and_numpy_are_all_there_is(tmp_path):
    (tmp_path / "net.zip").write_bytes(b"no archive")
    command = [sys.executable, "-c", SERVE, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ValueError" in ran.stderr
    assert "is not a complete compact file" in ran.stderr
