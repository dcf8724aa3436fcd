"""Split residual quantization: what is said and how it sounds, apart (https://arxiv.org/abs/2410.00037)."""

import torch
from torch import Tensor, nn

from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.clusters import usage
from vocable.quantizers.rvq import RVQ


class SplitRVQ(Quantizer):
    """Two stacks side by side that quantize the same latent (B, dim, N); their outputs are added.

    first: the semantic codebooks, usually one, which a recipe may teach a speech model's features; rest: the
    acoustic ones. Each stack has a linear projection to its own width and one back. Codes (B, K, N) are those
    of first, then those of rest; the loss is the mean over them.

    unquantized: in training, the chance of each item to go through the projections alone, so that the
    decoder's gradient reaches the encoder exactly; the codebooks learn from it all the same. `num_codebooks`
    in a call overrides this, and the stacks' dropout.
    """

    def __init__(self, first: RVQ, rest: RVQ, dim: int, unquantized: float = 0.0) -> None:
        super().__init__()
        if not 0 <= unquantized <= 1:
            raise ValueError(f"unquantized is {unquantized}; accepted: 0 to 1")
        self.first, self.rest = first, rest
        self.first_in, self.rest_in = (nn.Conv1d(dim, part.dim, 1, bias=False) for part in (first, rest))
        self.first_out, self.rest_out = (nn.Conv1d(part.dim, dim, 1, bias=False) for part in (first, rest))
        self.dim = dim
        self.codebook_sizes = (*first.codebook_sizes, *rest.codebook_sizes)
        self.unquantized = unquantized

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        of_first, of_rest = self._counts(num_codebooks)
        bare = torch.zeros(len(z), 1, 1, dtype=torch.bool, device=z.device)
        if self.training and num_codebooks is None and self.unquantized > 0:
            bare = torch.rand(bare.shape, device=z.device) < self.unquantized
        with torch.autocast(z.device.type, enabled=False):
            x = z.to(self.first_in.weight.dtype)
            narrow = self.first_in(x)
            part = self.first(narrow, of_first)
            first = self.first_out(part.z)
            out = torch.where(bare, self.first_out(narrow), first)
            codes, loss = part.codes, part.loss
            if of_rest != 0:
                narrow = self.rest_in(x)
                part = self.rest(narrow, of_rest)
                out = out + self.rest_out(torch.where(bare, narrow, part.z))
                codes = torch.cat([codes, part.codes], dim=1)
                loss = torch.lerp(loss, part.loss, part.codes.shape[1] / codes.shape[1])
        metrics = usage(codes, self.codebook_sizes)
        return Quantized(out.to(z.dtype), codes, loss, metrics, first.to(z.dtype))

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        of_first, of_rest = self._counts(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            z = z.to(self.first_in.weight.dtype)
            codes = self.first.encode(self.first_in(z), of_first)
            if of_rest == 0:
                return codes
            return torch.cat([codes, self.rest.encode(self.rest_in(z), of_rest)], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        self.check_codes(codes)
        first = self.first.num_codebooks
        with torch.autocast(codes.device.type, enabled=False):
            z = self.first_out(self.first.decode(codes[:, :first]).to(self.first_out.weight.dtype))
            if codes.shape[1] <= first:
                return z
            return z + self.rest_out(self.rest.decode(codes[:, first:]).to(self.rest_out.weight.dtype))

    def _counts(self, num_codebooks: int | None) -> tuple[int | None, int | None]:
        """How many codebooks of each stack; None: all, as its own dropout has it."""
        if num_codebooks is None:
            return None, None
        of_first = min(self.check_num_codebooks(num_codebooks), self.first.num_codebooks)
        return of_first, num_codebooks - of_first
