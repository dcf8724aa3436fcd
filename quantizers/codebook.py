"""One codebook, as a quantizer of its own or one of a residual stack."""

from typing import NamedTuple

import torch
from torch import Tensor

from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.clusters import usage, widened


class Step(NamedTuple):
    """What one codebook gives a residual stack: z (B, D, N), codes (B, N), loss of each item (B,)."""

    z: Tensor
    codes: Tensor
    loss: Tensor


class VQ(Quantizer):
    """One codebook. A subclass says how it matches, looks up, passes gradients on and learns."""

    @property
    def table(self) -> Tensor:
        """(V, d), the entries."""
        raise NotImplementedError

    def project(self, z: Tensor) -> Tensor:
        """Latents (B, D, N) to vectors (B, d, N) in the space of the entries, where all below happens."""
        return z

    def match(self, vectors: Tensor) -> Tensor:
        """Codes (B, N) of projected vectors (B, d, N)."""
        raise NotImplementedError

    def look_up(self, codes: Tensor) -> Tensor:
        """Latents (B, D, N) of codes (B, N)."""
        raise NotImplementedError

    def pass_through(self, vectors: Tensor, codes: Tensor) -> Tensor:
        """The values of `look_up`, with the gradient that projected vectors (B, d, N) are to have."""
        raise NotImplementedError

    def losses(self, vectors: Tensor, codes: Tensor) -> Tensor:
        """Training loss (B,) of each item's projected vectors (B, d, N)."""
        raise NotImplementedError

    def prepare(self, vectors: Tensor, weights: Tensor) -> None:
        """Called before a training step's match, weights (B * N,) being 0 at vectors not to learn from."""

    def update(self, vectors: Tensor, codes: Tensor, weights: Tensor) -> None:
        """Called after a training step's lookup."""

    def search(self, z: Tensor) -> Tensor:
        """Codes (B, N) of latents (B, D, N)."""
        return self.match(self.project(z))

    def step(self, z: Tensor, through: Tensor, keep: Tensor) -> Step:
        """Quantize z (B, D, N); the output's gradient goes to `through`, an equal of z.

        In training the codebook learns from the items where keep (B,) is true.
        """
        weights = keep.to(z.dtype).repeat_interleave(z.shape[2])
        vectors = self.project(z)
        if self.training:
            self.prepare(vectors.detach(), weights)
        codes = self.match(vectors)
        quantized = self.pass_through(self.project(through), codes)
        loss = self.losses(vectors, codes)
        if self.training:
            self.update(vectors.detach(), codes, weights)
        return Step(quantized, codes, loss)

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        self.check_num_codebooks(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            x = widened(z, self.table)
            step = self.step(x, x, x.new_ones(len(x), dtype=torch.bool))
        codes = step.codes[:, None]
        return Quantized(step.z.to(z.dtype), codes, step.loss.mean(), usage(codes, self.codebook_sizes))

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        self.check_num_codebooks(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            return self.search(widened(z, self.table))[:, None]

    def decode(self, codes: Tensor) -> Tensor:
        self.check_codes(codes)
        with torch.autocast(codes.device.type, enabled=False):
            return self.look_up(codes[:, 0])
