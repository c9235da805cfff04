"""A pruned net in a small file: bit masks and the values that are left, nothing that can run."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from sk_prunefair.export._archive import open_archive, write_part
from sk_prunefair.export._header import HEADER, Header
from sk_prunefair.export._pruned import (
    Pruning,
    make_module,
    pruning_of,
    read_contents,
    shapes_of,
    write_kept,
)
from sk_prunefair.export._steps import last_step
from sk_prunefair.export._tensors import check_values, write_tensors
from sk_prunefair.ranks import writes_files

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


def save_compact(source: nn.Module | CoreNet, path: str | Path, *, dense: bool = False) -> None:
    """Write the tensors of a net to a file that is small where they hold zeros, or are small.

    A tensor of which enough is zero is stored as one bit per number and the numbers that are not;
    others are stored whole. Bytes of the same place in their numbers stand together, which
    compresses better, and everything is deflated in a zip archive with a header in JSON.

    Parameters
    ----------
    source : torch.nn.Module, FairPrunedClassifier or Pipeline that ends in one
        A net, pruned or not; of a classifier, the pruned net with its masks, or with which of the
        dense net's channels it has, its labels, and the shape and the names of its features. Of a
        pipeline the last step is written, and a warning says so.
    path : str or pathlib.Path
        Where to write; an existing file is replaced once the new one is complete.
    dense : bool, default=False
        Whether a pruned classifier's dense net goes into the file, too, so that the two can be
        compared once it is loaded, as the command line does. The file is then larger than that of
        the dense net.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the classifier has no net yet.
    TypeError
        If the classifier's labels are neither strings, numbers nor booleans.
    ValueError
        If labels are not unique or of several kinds, or the net holds values with which no net
        works: a parameter that is not finite, a buffer with NaN.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> net = torch.nn.Linear(1000, 10)
    >>> net.weight.data[:, 100:] = 0
    >>> path = Path(tempfile.mkdtemp()) / "net.zip"
    >>> save_compact(net, path)
    >>> bool(path.stat().st_size < 0.15 * 4 * 10_010)
    True
    >>> other = load_compact(path, torch.nn.Linear(1000, 10))
    >>> bool((other.weight == net.weight).all())
    True
    """
    data: dict[str, Any] = {}
    pruning, dense_net = Pruning({}, {}), None
    source = last_step(source)
    if isinstance(source, nn.Module):
        module = source
    else:
        from sk_prunefair.export._classifier import describe_data  # with all of scikit-learn

        source.check_is_fitted()
        module, data = source.module_, describe_data(source)
        pruning, dense_net = pruning_of(source)
    for net in (module, dense_net if dense else None):
        if net is not None:
            what = "this net cannot be saved"
            check_values(net.state_dict(), net, what, nan_in_buffers=not data)
    if not writes_files(source):
        return
    path = Path(path)
    draft = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(draft, "w") as archive:
            header = Header(
                write_tensors(archive, module, pruning.masks),
                masks=tuple(sorted(pruning.masks)),
                kept={
                    name: tuple(dim for dim, index in enumerate(dims) if index is not None)
                    for name, dims in pruning.kept.items()
                },
                rate=pruning.rate,
                **data,
            )
            if dense_net is not None:
                shapes = shapes_of(dense_net)
                if not pruning.agrees(shapes):
                    header = dataclasses.replace(header, removed=pruning.removed(shapes))
                if dense:
                    whole = write_tensors(archive, dense_net, {}, "dense/")
                    header = dataclasses.replace(header, dense=whole)
                write_kept(archive, pruning.kept, dense_net)
            write_part(archive, HEADER, header.to_json())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load_compact(path: str | Path, target: Any) -> Any:
    """Load what `save_compact` wrote into a net of the same architecture.

    The file is taken for untrusted: nothing in it is executed, every size is checked against the
    target before anything is unpacked, what the file says of its net is checked against what it
    holds, and the target is changed only when all of it was read. Loading into a module needs torch
    and numpy; scikit-learn, skorch, pandas, scipy and fairlearn are not imported.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    target : torch.nn.Module, FairPrunedClassifier or Pipeline that ends in one
        What to load into, of the architecture of the dense net. A classifier may be without a net
        yet: it takes its labels and the shape and names of its features from the file. Where the
        file has no dense net, the loaded one stands for it, too. Its masks go on holding.

    Returns
    -------
    torch.nn.Module or FairPrunedClassifier
        The target; in the place of a module, a new and smaller one where channels were removed.

    Raises
    ------
    ValueError
        If the file is not of this format, is damaged, contradicts itself, or does not fit the
        target; the target is then as it was.
    FileNotFoundError
        If there is no file.
    """
    given, target = target, last_step(target)
    if isinstance(target, nn.Module):
        with open_archive(path) as archive:
            contents = read_contents(archive, Header.read(archive), target)
        return make_module(target, contents)
    from sk_prunefair.export._classifier import fill_classifier, make_template

    with open_archive(path) as archive:
        header = Header.read(archive)
        template = make_template(target, header, archive.n_bytes)
        contents = read_contents(archive, header, template)
    fill_classifier(target, contents)
    return given


def holds_dense(path: str | Path) -> bool:
    """Tell whether a file has all that a comparison needs: both nets, or one that is not pruned.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    bool
        False for a pruned net alone.

    Raises
    ------
    ValueError
        If the file is not of this format, or is damaged.
    FileNotFoundError
        If there is no file.
    """
    with open_archive(path) as archive:
        header = Header.read(archive)
    return header.dense is not None or not header.is_pruned
