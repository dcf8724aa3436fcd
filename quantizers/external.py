"""Quantizers of the package vector-quantize-pytorch behind this library's contract."""

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.clusters import usage

CLASSES = (
    "VectorQuantize",
    "ResidualVQ",
    "GroupedResidualVQ",
    "SimVQ",
    "ResidualSimVQ",
    "FSQ",
    "ResidualFSQ",
    "GroupedResidualFSQ",
    "LFQ",
    "ResidualLFQ",
    "GroupedResidualLFQ",
)


class External(Quantizer):
    """A built quantizer of vector-quantize-pytorch that takes (B, N, D), its default layout.

    Codes of G groups of Q residual codebooks are ordered residual stage by stage, so that the first G * q of
    them are a coarser version. Fewer codebooks than K are possible for residual quantizers; in `forward`
    the gradient then passes straight to z. With the module's own `quantize_dropout`, codes of dropped
    codebooks are -1 in training. The loss is the mean of the module's.
    """

    def __init__(self, module: nn.Module, dim: int, codebook_sizes: tuple[int, ...]) -> None:
        super().__init__()
        if getattr(module, "heads", 1) > 1 and not getattr(module, "separate_codebook_per_head", True):
            raise ValueError("heads share a codebook; accepted: separate_codebook_per_head=True")
        self.module = module
        self.dim = dim
        self.codebook_sizes = tuple(codebook_sizes)
        rvqs = getattr(module, "rvqs", None)
        self.groups = len(rvqs) if isinstance(rvqs, nn.ModuleList) else 0
        self.residual = self.groups > 0 or hasattr(module, "layers")

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        used = self.check_num_codebooks(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            out, codes, loss = self._run(z)
            if used < self.num_codebooks:
                codes = codes[:, :used]
                out = self._look_up(codes) + (z - z.detach())
        return Quantized(out.to(z.dtype), codes, loss, usage(codes, self.codebook_sizes))

    @torch.no_grad()
    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        used = self.check_num_codebooks(num_codebooks)
        training = self.module.training
        self.module.eval()  # in training mode these modules update their codebooks in forward
        try:
            with torch.autocast(z.device.type, enabled=False):
                return self._run(z)[1][:, :used]
        finally:
            self.module.train(training)

    def decode(self, codes: Tensor) -> Tensor:
        self.check_codes(codes)
        with torch.autocast(codes.device.type, enabled=False):
            return self._look_up(codes)

    def check_num_codebooks(self, num_codebooks: int | None) -> int:
        used = super().check_num_codebooks(num_codebooks)
        if used < self.num_codebooks and not self.residual:
            name = type(self.module).__name__
            raise ValueError(f"num_codebooks is {used}; accepted for {name}: {self.num_codebooks}")
        return used

    def _run(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized latents (B, D, N), codes (B, K, N) and the loss."""
        tensors = chain(self.module.parameters(), self.module.buffers())
        dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
        quantized, indices, *rest = self.module(z.transpose(1, 2).to(dtype))
        if indices.ndim == 4:  # (G, B, N, Q)
            codes = indices.permute(1, 3, 0, 2).flatten(1, 2)
        elif indices.ndim == 3:  # (B, N, K)
            codes = indices.transpose(1, 2)
        else:  # (B, N)
            codes = indices[:, None]
        loss = rest[0].mean() if rest else quantized.new_zeros(())
        return quantized.transpose(1, 2), codes.long(), loss

    def _look_up(self, codes: Tensor) -> Tensor:
        if self.residual:  # an index of -1 stands for an unused codebook
            codes = nn.functional.pad(codes, (0, 0, 0, self.num_codebooks - codes.shape[1]), value=-1)
        indices = codes.transpose(1, 2)
        if self.groups:
            indices = codes.unflatten(1, (-1, self.groups)).permute(2, 0, 3, 1)
        elif self.num_codebooks == 1 and not self.residual:
            indices = codes[:, 0]
        module: Any = self.module
        name = "get_output_from_indices" if hasattr(module, "get_output_from_indices") else "indices_to_codes"
        return getattr(module, name)(indices).transpose(1, 2)


def external(class_name: str, dim: int, **kwargs: Any) -> External:
    """The quantizer `class_name` of vector-quantize-pytorch, built with dim and kwargs.

    >>> external("ResidualVQ", dim=64, num_quantizers=8, codebook_size=1024).num_codebooks
    8
    """
    if class_name not in CLASSES:
        raise ValueError(f"class_name is {class_name!r}; accepted: {', '.join(CLASSES)}")
    try:
        import vector_quantize_pytorch
    except ImportError as error:
        raise ImportError(
            f"{class_name} needs vector-quantize-pytorch: pip install 'vocable[train]'"
        ) from error
    module = getattr(vector_quantize_pytorch, class_name)(dim=dim, **kwargs)
    return External(module, dim, _codebook_sizes(module))


def _codebook_sizes(module: Any) -> tuple[int, ...]:
    if hasattr(module, "rvqs"):
        return tuple(size for size in _codebook_sizes(module.rvqs[0]) for _ in module.rvqs)
    if hasattr(module, "layers"):
        return tuple(size for layer in module.layers for size in _codebook_sizes(layer))
    count = max(getattr(module, "num_codebooks", 1), getattr(module, "heads", 1))
    return (int(module.codebook_size),) * count
