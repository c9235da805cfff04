"""`torch.nn.MultiheadAttention` with its projections as linear layers, which can be sparse."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn import functional as F

from sk_prunefair.export._sparse_copy import has_hooks


class ProjectedAttention(nn.Module):
    """Attention for evaluation, with the outputs of `torch.nn.MultiheadAttention`.

    torch's module reads the weights of its projections directly. Here they are the linear layers
    ``q_proj``, ``k_proj``, ``v_proj`` and ``out_proj``, which can be replaced.

    Parameters
    ----------
    attention : torch.nn.MultiheadAttention
        A module for which `is_projected` is true; not changed.

    Examples
    --------
    >>> dense = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    >>> X = torch.randn(3, 5, 8)
    >>> torch.allclose(ProjectedAttention(dense)(X, X, X)[0], dense(X, X, X)[0], atol=1e-5)
    True
    """

    # None here disables the fused attention operation of torch's encoder layers.
    in_proj_weight = None
    in_proj_bias = None

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.embed_dim, self.num_heads = attention.embed_dim, attention.num_heads
        self.head_dim, self.batch_first = attention.head_dim, attention.batch_first
        self._qkv_same_embed_dim = attention._qkv_same_embed_dim
        weights: Any = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
        if attention.in_proj_weight is not None:
            weights = attention.in_proj_weight.chunk(3)
        in_bias = attention.in_proj_bias
        biases = (None,) * 3 if in_bias is None else in_bias.chunk(3)
        self.q_proj, self.k_proj, self.v_proj = map(_linear, weights, biases)
        self.out_proj = _linear(attention.out_proj.weight, attention.out_proj.bias)

    @torch.no_grad()
    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the result of `torch.nn.MultiheadAttention.forward`."""
        if is_causal and attn_mask is None:
            raise RuntimeError("is_causal is a hint and needs attn_mask, got None")
        is_batched, masks = query.ndim == 3, [attn_mask, key_padding_mask]
        if is_batched and not self.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        elif not is_batched:
            query, key, value = query[None], key[None], value[None]
            masks[1] = None if key_padding_mask is None else key_padding_mask[None]
        q = self._heads(self.q_proj(query))
        k = self._heads(self.k_proj(key))
        v = self._heads(self.v_proj(value))
        mask = self._mask(masks[0], masks[1], q)
        weights = None
        if need_weights:
            scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
            weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
            mixed = weights @ v
            weights = weights.mean(dim=1) if average_attn_weights else weights
        else:
            is_causal = is_causal and key_padding_mask is None
            mask = None if is_causal else mask
            mixed = F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal)
        output = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if not is_batched:
            return output[0], None if weights is None else weights[0]
        return (output if self.batch_first else output.transpose(0, 1)), weights

    def _heads(self, X: torch.Tensor) -> torch.Tensor:
        """Return the projection split into heads, (n_samples, n_heads, n_tokens, head_dim)."""
        return X.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _mask(
        self, attention: torch.Tensor | None, padding: torch.Tensor | None, q: torch.Tensor
    ) -> torch.Tensor | None:
        """Return one additive mask for scores of shape (n_samples, n_heads, n, n_keys)."""
        total = None
        if attention is not None:
            total = _added(attention, q.dtype)
            if total.ndim == 3:
                total = total.view(len(q), self.num_heads, *total.shape[1:])
        if padding is not None:
            keys = _added(padding, q.dtype)[:, None, None, :]
            total = keys if total is None else total + keys
        return total


def is_projected(part: nn.Module) -> TypeGuard[nn.MultiheadAttention]:
    """Tell whether `ProjectedAttention` can replace a module.

    It cannot if the module adds keys, has hooks, or is a subclass of torch's.
    """
    return (
        type(part) is nn.MultiheadAttention
        and part.bias_k is None
        and part.bias_v is None
        and not part.add_zero_attn
        and not has_hooks(part)
        and not has_hooks(part.out_proj)
    )


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    made.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return made.eval()


def _added(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return an additive mask: minus infinity where a boolean mask is True."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, -torch.inf)
