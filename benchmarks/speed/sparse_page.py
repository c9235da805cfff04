"""The page of `sparse.py`: what was asked for, and what was measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.lib.pages import by_hand, markdown, write
from benchmarks.lib.timing import by_round

PAGE = Path(__file__).with_name("sparse.md")
DENSE, MASKED, SPARSE, CHANNELS = "dense", "masked", "sparse module", "channels"
FLOAT, INT8, INT8_MASKED = "ONNX Runtime", "ONNX Runtime, int8", "ONNX Runtime, int8, masked"
SIDE_BY_SIDE = (DENSE, MASKED, SPARSE, CHANNELS, FLOAT, INT8, INT8_MASKED)

# By net and batch: how many times as fast is asked for, by rate.
CASES: dict[str, dict[int, dict[float, float | None]]] = {
    "MLP 256–2048–2048": {
        1: {0.9: None, 0.95: None, 0.98: None},
        64: {0.9: 1.5, 0.95: 3, 0.98: 6},
        1024: {0.9: None, 0.95: None, 0.98: None},
    },
    "ResNet-18": {
        1: {0.9: 1.3, 0.95: 1.8, 0.98: None},
        64: {0.9: 1, 0.95: 1, 0.98: 1},
    },
    "BERT-base": {
        1: {0.9: 1.7, 0.95: 2.8, 0.98: None},
        16: {0.9: 1.3, 0.95: 2},
    },
}
_KEYS = ["net", "batch", "rate"]


def _wide(times: pd.DataFrame) -> pd.DataFrame:
    """Return seconds, a row for each cell and round and a column for each contender."""
    return times.pivot_table("seconds", [*_KEYS, "round"], "contender", sort=False)


def sparse_table(times: pd.DataFrame) -> pd.DataFrame:
    """Return the sparse module beside the masked net, and what was asked for."""
    told = times[times["contender"] == SPARSE].groupby(_KEYS)["told"].first()
    lines = []
    for cell, part in _wide(times).groupby(_KEYS, sort=False):
        name, batch, rate = cell
        target, gain = CASES[name][batch][rate], part[MASKED] / part[SPARSE]
        lines.append(
            {
                **dict(zip(_KEYS, cell, strict=True)),
                "rounds": len(part),
                "masked, ms": _milliseconds(part[MASKED].median()),
                "sparse, ms": _milliseconds(part[SPARSE].median()),
                "times as fast": f"{gain.median():.2f}",
                "least to most": f"{gain.min():.2f} to {gain.max():.2f}",
                "asked for": "–" if target is None else f"{target:g}",
                "the net; its layers by form": told[cell],
            }
        )
    return pd.DataFrame(lines)


def side_by_side(times: pd.DataFrame) -> pd.DataFrame:
    """Return how many times as fast as the dense net each contender is."""
    wide = _wide(times).dropna(subset=DENSE)
    gains = wide[DENSE].to_numpy()[:, None] / wide.reindex(columns=[*SIDE_BY_SIDE])
    table = gains.groupby(_KEYS, sort=False).median()
    milliseconds = wide[DENSE].groupby(_KEYS, sort=False).median().map(_milliseconds)
    left = times[times["contender"] == CHANNELS].groupby(_KEYS)["told"].first()
    shown = table.map(lambda gain: "–" if pd.isna(gain) else f"{gain:.2f}")
    shown[CHANNELS] += " (" + left.reindex(shown.index).str.split(" ").str[0] + ")"
    shown[DENSE] = milliseconds + " ms"
    return shown.reset_index()


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f}" if seconds >= 0.1 else f"{1000 * seconds:.3g}"


def _int8_sentence(times: pd.DataFrame) -> str:
    wide = _wide(times)
    ratio = (wide[INT8] / wide[INT8_MASKED]).groupby(_KEYS).median().dropna()
    return (
        "Sparse and int8 at once: nothing kept runs it faster. ONNX Runtime's int8 takes no notice "
        f"of zeros, with them it is {ratio.min():.2f} to {ratio.max():.2f} times as fast as "
        "without; torch has no CSR product of integers."
    )


def _block_sentence() -> str:
    keys = ["rate", "batch"]
    wide = by_round(pd.read_csv(PAGE.with_name("sparse_blocks.csv")), *keys)
    plain = wide.rdiv(wide["csr, no blocks"], axis=0).groupby(keys).median()
    parts = [
        f"{plain[f'bsr, {size}'].min():.2f} to {plain[f'bsr, {size}'].max():.2f} times as fast "
        f"for {size}"
        for size in ("8×8", "16×16")
    ]
    return (
        "No pruner of blocks is built (`sparse_blocks.py`, a 2048×2048 layer at 0.9 and 0.95, "
        "batches of 1 and 64): as a BSR product zeros in blocks were "
        f"{' and '.join(parts)} blocks as single zeros are as a CSR product, and the CSR product "
        f"itself {plain['csr, 1×4'].min():.2f} to {plain['csr, 1×4'].max():.2f} times on 1×4 "
        "blocks, which MKL's BSR does not take. 2:4 is not measured: no GPU."
    )


def _memory_sentence() -> str:
    told = pd.read_csv(PAGE.with_name("sparse_memory.csv")).set_index("way")
    share = told["bytes_peak"] / told["bytes_dense"]
    dense, sparse = share.iloc[0], share.loc["load_sparse"]
    return (
        "From a compact file (`sparse_memory.py`, four layers of 4096×4096, the smallest weights "
        f"removed): `load_compact` and then `sparse_module` take {dense:.2f} times the bytes of "
        f"the dense weights at the peak, `load_sparse` {sparse:.2f} times."
    )


def write_page(times: pd.DataFrame, path: Path) -> None:
    """Write the tables and how they were measured."""
    tables = (markdown(f(times), disable_numparse=True) for f in (sparse_table, side_by_side))
    parts = [by_hand(PAGE), by_hand(PAGE, "## The sparse module"), next(tables)]
    parts += [by_hand(PAGE, "A net that was not faster"), by_hand(PAGE, "## Side by side")]
    parts += [next(tables), _int8_sentence(times), _block_sentence(), _memory_sentence()]
    write(path, parts)
