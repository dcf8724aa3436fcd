"""The file of a stream that is to go on later (safetensors): where both ends stand, and what waits."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import State
from vocable.codecs.files import replacing
from vocable.codecs.signal import check_samples
from vocable.codecs.state import mapped, owned, tensors

if TYPE_CHECKING:
    from vocable.codecs.stream import Stream

VERSION = "vocable stream 1"


def save(stream: "Stream", path: str | Path) -> None:
    """Write `stream` to `path`, whole or not at all."""
    from safetensors.torch import save_file

    found = {"rest": stream.rest, "held": stream.held}
    for end, state in (("encoder", stream.encoder_state), ("decoder", stream.decoder_state)):
        found |= {f"{end}.{i}": tensor for i, tensor in enumerate(tensors(state))}
    kept = {name: tensor.cpu().contiguous() for name, tensor in found.items() if tensor is not None}
    with replacing(path) as temporary:
        save_file(kept, temporary, {name: str(value) for name, value in _header(stream).items()})


def restore(stream: "Stream", path: str | Path) -> None:
    """Have `stream` stand where the saved one stood; ValueError where it was of another codec."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"no saved stream {path}")
    try:
        with safe_open(path, "pt") as file:
            header, names = file.metadata() or {}, set(file.keys())
            found: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a saved stream: {error}; accepted: what Stream.save wrote") from error
    for name, own in _header(stream).items():
        if header.get(name) != str(own):
            raise ValueError(f"{path}: {name} is {header.get(name, 'not given')}; accepted: {own}")
    codec, device = stream.codec, stream.codec._device
    found = {name: tensor.to(device) for name, tensor in found.items()}
    rest, held = found.pop("rest", None), found.pop("held", None)
    ends = [_state(codec.encoder, _first_samples(stream), "encoder", found, path)]
    ends.append(_state(codec.decoder, _first_latents(stream), "decoder", found, path))
    sizes = {len(tensor) for tensor in (rest, held, *tensors(ends)) if tensor is not None}
    if found or len(sizes) > 1:
        what = f"tensors {sorted(found)} too many" if found else f"batches of {sorted(sizes)}"
        raise ValueError(f"{path}: {what}; accepted: what Stream.save wrote")
    if held is not None:
        codec.quantizer.check_codes(held)
    if rest is not None:
        if rest.dtype != torch.float32 or rest.ndim != 3 or rest.shape[1] != codec.channels:
            known = f"torch.float32 (B, {codec.channels}, t)"
            raise ValueError(f"{path}: rest is {rest.dtype} {tuple(rest.shape)}; accepted: {known}")
        check_samples(rest, f"{path}: rest")
    stream.rest, stream.held = rest, held
    stream.encoder_state, stream.decoder_state = map(owned, ends)


def _header(stream: "Stream") -> dict[str, str | int]:
    return {"format": VERSION, "weights": stream.codec.weights, "num_codebooks": stream.num_codebooks}


def _first_samples(stream: "Stream") -> Tensor:
    from vocable.codecs.stream import first_frames

    codec = stream.codec
    samples = first_frames(codec.encoder) * codec.hop_length
    return torch.zeros(1, codec.channels, samples, device=codec._device)


def _first_latents(stream: "Stream") -> Tensor:
    from vocable.codecs.stream import first_frames

    codec = stream.codec
    frames = first_frames(codec.decoder)
    codes = torch.zeros(1, stream.num_codebooks, frames, dtype=torch.int64, device=codec._device)
    return codec.quantizer.decode(codes)


@torch.no_grad()
def _state(part: nn.Module, first: Tensor, end: str, found: dict[str, Tensor], path: str | Path) -> State:
    """The state of one end, its tensors taken out of `found`; None where there are none of it.

    Its tree is not in the file: it is that of this codec's own state after silence.
    """
    if not any(name.startswith(f"{end}.") for name in found):
        return None
    numbers = iter(range(len(found)))
    with torch.autocast(first.device.type, enabled=False):
        own = part(first)[1]

    def of(like: Tensor) -> Tensor:
        tensor = found.pop(name := f"{end}.{next(numbers)}", None)
        if tensor is None or tensor.dtype != like.dtype or tensor.shape[1:] != like.shape[1:]:
            given = None if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
            known = f"{like.dtype} {('B', *like.shape[1:])}"
            raise ValueError(f"{path}: {name} is {given}; accepted: {known}")
        return tensor

    return mapped(of, own)
