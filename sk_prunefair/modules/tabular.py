"""A residual net for tables of numbers and categories."""

from __future__ import annotations

import math

import torch
from torch import nn

from sk_prunefair.checks import check_count, check_number


class TabularNet(nn.Module):
    """Residual net for tables, with numbers and categories as two arrays.

    A linear layer maps the numbers to ``width`` units. Each category has ``width`` weights; those
    of a row are summed and divided by the square root of the number of columns, which is a linear
    layer over one-hot codes. The sum of both passes through ``depth`` residual blocks, a norm, a
    ReLU and a linear layer (Gorishniy et al., Revisiting deep learning models for tabular data,
    2021, with layer norm instead of batch norm).

    Use with ``criterion=torch.nn.CrossEntropyLoss`` and the dicts that
    `sk_prunefair.tables.TabularEncoder` returns. Given as a class to `FairPrunedClassifier`, the
    net gets ``n_numbers``, ``n_categories`` and ``n_classes`` from the data.

    Parameters
    ----------
    n_numbers : int, default=0
        Number of columns of ``numbers``; 0 if there are none.
    n_categories : int, default=0
        Number of categories of all columns together, the largest value of ``categories`` plus one;
        0 if there are none.
    n_classes : int, default=2
        At least 2.
    width : int, default=64
        Number of units of every layer, at least 2.
    depth : int, default=2
        Number of residual blocks; with 0 the sum goes directly to the last norm.
    dropout : float, default=0.0
        Dropout probability of the hidden units of a block, in [0, 1].

    Raises
    ------
    ValueError
        If a size or `dropout` is not in its range, or there are neither numbers nor categories.

    Examples
    --------
    >>> net = TabularNet(n_numbers=2, n_categories=5, n_classes=3)
    >>> net(numbers=torch.zeros(4, 2), categories=torch.tensor([[0, 3]] * 4)).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        n_numbers: int = 0,
        n_categories: int = 0,
        n_classes: int = 2,
        *,
        width: int = 64,
        depth: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, size, least in (
            ("n_numbers", n_numbers, 0),
            ("n_categories", n_categories, 0),
            ("n_classes", n_classes, 2),
            ("width", width, 2),
            ("depth", depth, 0),
        ):
            check_count(name, size, least=least)
        check_number("dropout", dropout, least=0, most=1)
        if not (n_numbers or n_categories):
            raise ValueError("n_numbers or n_categories must be >= 1, got 0 for both")
        self.numbers = nn.Linear(n_numbers, width) if n_numbers else None
        self.categories = _weights_by_category(n_categories, width) if n_categories else None
        self.blocks = nn.Sequential(*(_Block(width, dropout) for _ in range(depth)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, n_classes))

    def forward(
        self, numbers: torch.Tensor | None = None, categories: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return logits.

        Parameters
        ----------
        numbers : torch.Tensor of shape (n_samples, n_numbers), dtype float32, default=None
            None, or no columns, if ``n_numbers`` is 0.
        categories : torch.Tensor of shape (n_samples, n_columns), dtype int64, default=None
            One index per column, from 0 to ``n_categories`` - 1; no two columns share an index.
            None, or no columns, if ``n_categories`` is 0.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_classes)
            Logits.

        Raises
        ------
        ValueError
            If a required array is missing, or has other columns or values.
        """
        parts = [self._of_numbers(numbers), self._of_categories(categories)]
        first, *rest = [part for part in parts if part is not None]
        return self.head(self.blocks(sum(rest, first)))

    def _of_numbers(self, numbers: torch.Tensor | None) -> torch.Tensor | None:
        wanted = 0 if self.numbers is None else self.numbers.in_features
        found = 0 if numbers is None else numbers.shape[-1]
        if found != wanted:
            raise ValueError(f"numbers must have n_numbers={wanted} columns, got {found}")
        return None if self.numbers is None else self.numbers(numbers)

    def _of_categories(self, categories: torch.Tensor | None) -> torch.Tensor | None:
        n_columns = 0 if categories is None else categories.shape[-1]
        n_known = 0 if self.categories is None else self.categories.num_embeddings
        if (n_known > 0) != (n_columns > 0):
            wanted = "at least one column" if n_known else "no columns"
            raise ValueError(
                f"categories must have {wanted} where n_categories={n_known}, got {n_columns}"
            )
        if self.categories is None or categories is None:
            return None
        try:
            weights = self.categories(categories)
        except IndexError:
            raise ValueError(
                f"categories must be below n_categories={n_known} and not "
                f"negative, got {int(categories.min())} to {int(categories.max())}"
            ) from None
        return weights.sum(dim=-2) / math.sqrt(n_columns)


def _weights_by_category(n_categories: int, width: int) -> nn.Embedding:
    """Return initial weights as small as those of the linear layers.

    torch's are so large that pruning by magnitude would keep them and remove all others.
    """
    table = nn.Embedding(n_categories, width)
    bound = 1 / math.sqrt(width)
    nn.init.uniform_(table.weight, -bound, bound)
    return table


class _Block(nn.Module):
    """Norm, linear layer, ReLU, dropout and linear layer, with a shortcut."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return X + self.branch(X)
