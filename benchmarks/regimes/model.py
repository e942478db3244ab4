# SPDX-License-Identifier: BSD-3-Clause
"""A small decoder, and checkpoints of it under the names of a Llama.

Pre-norm, rotary positions, no biases; the MLP is ReLU or GELU of `up`, or SwiGLU of `gate` and
`up`. The head is not tied to the embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The architecture of a model."""

    vocabulary: int
    width: int = 64
    layers: int = 4
    heads: int = 4
    length: int = 64
    mlp: str = "relu"


class Linear(nn.Linear):
    """A linear layer without bias, with an optional low-rank product added to it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.low_rank: tuple[nn.Parameter, nn.Parameter] | None = None
        self.scale = 1.0

    def adapt(self, rank: int, scale: float) -> tuple[nn.Parameter, nn.Parameter]:
        """Add a product B A of this rank, which is zero; only its factors are trained."""
        self.weight.requires_grad_(False)
        A = nn.Parameter(torch.randn(rank, self.in_features) / math.sqrt(self.in_features))
        B = nn.Parameter(torch.zeros(self.out_features, rank))
        self.low_rank, self.scale = (B, A), scale
        return B, A

    def forward(self, x: Tensor) -> Tensor:
        y = functional.linear(x, self.weight)
        if self.low_rank is None:
            return y
        B, A = self.low_rank
        return y + self.scale * functional.linear(functional.linear(x, A), B)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.width
        self.heads = shape.heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (Linear(d, d) for _ in range(4))

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], *, causal: bool = True) -> Tensor:
        batch, length, d = x.shape

        def split(projected: Tensor) -> Tensor:
            return projected.view(batch, length, self.heads, d // self.heads).transpose(1, 2)

        q, k = (rotated(split(p(x)), rotation) for p in (self.q_proj, self.k_proj))
        v = split(self.v_proj(x))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, d))


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, inner = shape.width, 4 * shape.width
        self.kind = shape.mlp
        self.up_proj, self.down_proj = Linear(d, inner), Linear(inner, d)
        if self.kind == "swiglu":
            self.gate_proj = Linear(d, inner)

    def forward(self, x: Tensor) -> Tensor:
        up = self.up_proj(x)
        if self.kind == "swiglu":
            return self.down_proj(functional.silu(self.gate_proj(x)) * up)
        return self.down_proj(functional.gelu(up) if self.kind == "gelu" else functional.relu(up))


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.width)
        self.post_attention_layernorm = nn.RMSNorm(shape.width)
        self.self_attn, self.mlp = Attention(shape), MLP(shape)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation)
        return x + self.mlp(self.post_attention_layernorm(x))


class Stack(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)


class Decoder(nn.Module):
    """The model; its parameters have the names of a Llama's checkpoint."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Stack(shape)
        self.lm_head = Linear(shape.width, shape.vocabulary)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=_deviation(name, parameter, shape.layers))
        half = shape.width // shape.heads // 2
        turns = 10000.0 ** (-torch.arange(half) / half)
        angles = torch.arange(shape.length)[:, None] * turns
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.read(self.model.embed_tokens(tokens))

    def rotation(self, length: int) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of the first positions."""
        return self.cosine[:length], self.sine[:length]

    def read(self, x: Tensor) -> Tensor:
        """Return the logits after embedded tokens."""
        rotation = self.rotation(x.shape[1])
        for layer in self.model.layers:
            x = layer(x, rotation)
        return self.lm_head(self.model.norm(x))

    def matrices(self) -> list[nn.Parameter]:
        """The matrices of the layers that are trained, which decay and Muon act on."""
        named = self.model.layers.named_parameters()
        return [p for _, p in named if p.dim() == 2 and p.requires_grad]

    def save(self, path: Path) -> None:
        """Write the parameters, without those of low-rank products."""
        save_file({name: x.clone() for name, x in self.state_dict().items()}, path)

    def load(self, path: Path) -> None:
        self.load_state_dict(load_file(path))

    def linear_layers(self) -> dict[str, Linear]:
        """The linear layers of the blocks by the name of their module."""
        return {
            f"model.layers.{name}": module
            for name, module in self.model.layers.named_modules()
            if isinstance(module, Linear)
        }


def _deviation(name: str, parameter: nn.Parameter, layers: int) -> float:
    if "embed_tokens" in name or "lm_head" in name:
        return 0.02
    plain = 1 / math.sqrt(parameter.shape[1])
    last = name.endswith(("o_proj.weight", "down_proj.weight"))
    return plain / math.sqrt(2 * layers) if last else plain


def rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate halves of each head by angles that grow with the position."""
    cosine, sine = rotation
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)
