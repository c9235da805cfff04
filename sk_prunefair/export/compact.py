"""Save a pruned net in a small file of bit masks and kept values, without executable content."""

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
    """Write the tensors of a net to a file that is small if they are sparse, or small.

    A tensor with enough zeros is stored as one bit per value and the values that are not zero;
    others are stored whole. Bytes at the same position in their values are stored together, which
    compresses better, and everything is deflated in a zip archive with a header in JSON.

    Parameters
    ----------
    source : torch.nn.Module, FairPrunedClassifier or Pipeline that ends in one
        A net, pruned or not. For a classifier, the pruned net is written with its masks, or with
        the indices of the kept channels, its labels, and the shape and the names of its features.
        For a pipeline the last step is written, with a warning.
    path : str or pathlib.Path
        File to write; an existing file is replaced once the new one is complete.
    dense : bool, default=False
        Whether to include a pruned classifier's dense net, so that the two can be
        compared after loading, as by the command line. The file is then larger than that of
        the dense net.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the classifier is not fitted.
    TypeError
        If the classifier's labels are neither strings, numbers nor booleans.
    ValueError
        If labels are not unique or of several kinds, or the net holds values with which it cannot
        work: a parameter that is not finite, a buffer with NaN.

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
        from sk_prunefair.export._classifier import describe_data  # imports scikit-learn

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
    """Load a file of `save_compact` into a net of the same architecture.

    The file is treated as untrusted: nothing in it is executed, every size is checked against the
    target before anything is unpacked, the header is checked against the contents,
    and the target is changed only after everything was read. Loading into a module needs torch
    and numpy; scikit-learn, skorch, pandas, scipy and fairlearn are not imported.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    target : torch.nn.Module, FairPrunedClassifier or Pipeline that ends in one
        Target with the architecture of the dense net. A classifier may be without a net
        yet: it takes its labels and the shape and names of its features from the file. If the
        file has no dense net, the loaded one is used as the dense net, too. Its masks are enforced.

    Returns
    -------
    torch.nn.Module or FairPrunedClassifier
        The target; if channels were removed from a module, a new and smaller one.

    Raises
    ------
    ValueError
        If the file is not of this format, is damaged, is inconsistent, or does not fit the
        target, which is then not changed.
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
    """Tell whether a file is enough for a comparison: it has both nets, or one that is not pruned.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    bool
        False if there is only a pruned net.

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
