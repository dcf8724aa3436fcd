"""Makes stablecodec.safetensors and stablecodec_keys.json from checkouts of two repositories of Stability AI.

    python tests/assets/make_stablecodec.py STABLE_CODEC COMMIT STABLE_AUDIO_TOOLS COMMIT

The first is a tiny model of the official classes: its weights in the official layout, and what the official
encode and decode make of a batch of noise and of a file. Their windows need FlashAttention and a GPU; here a
dense mask stands for them. The second is the names and shapes of the full model's tensors.
"""

import json
import sys
import tempfile
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import soundfile
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

HERE = Path(__file__).parent
SEED = 5  # latents stay 6e-5 of a level away from where rounding tips over
UNUSED = ("alias_free_torch", "einops_exts", "ema_pytorch", "k_diffusion", "local_attention", "wandb")
PRESETS = ("1x46656_400bps", "2x15625_700bps", "4x729_1000bps")
TINY = {"channels": 8, "c_mults": [1, 2], "transformer_depths": [1, 2], "sliding_window": [3, 4]}
FULL = {"channels": 1024, "c_mults": [1, 1], "transformer_depths": [8, 20]}
SHARED = {"strides": [1, 2], "latent_dim": 6, "checkpointing": False}


class Stubs(MetaPathFinder, Loader):
    """Empty modules for what the official package imports and this script doesn't run."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] in UNUSED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__dict__.update(__path__=[], __getattr__=lambda name: MagicMock())
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


def banded(self: Any, q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    """The official attention with a dense mask for FlashAttention's window."""
    position = torch.arange(q.shape[-2])
    ahead = position - position[:, None]
    left, right = options["flash_attn_sliding_window"]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=(ahead >= -left) & (ahead <= right))


def replace(module: ModuleType, name: str, value: Any) -> None:
    vars(module)[name] = value


def read(path: str) -> tuple[Tensor, int]:
    """What torchaudio.load gives, which needs one more package."""
    wav, rate = soundfile.read(path, dtype="float32")
    return torch.from_numpy(wav)[None], rate


def tiny_codec(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The official StableCodec of a tiny config, with heads of 8 and lively weights that half holds."""
    transformer, autoencoders = (
        import_module(f"stable_audio_tools.models.{name}") for name in ("transformer", "autoencoders")
    )
    block = transformer.TransformerBlock
    transformer.Attention.apply_attn = banded
    replace(autoencoders, "TransformerBlock", lambda dim, dim_heads, **rest: block(dim, dim_heads=8, **rest))
    quantizer = {"dim": 6, "levels": 17, "num_codebooks": 1, "noise_dropout": 0.05}
    model = {
        "encoder": {"type": "taae", "config": {"in_channels": 4, **TINY, **SHARED}},
        "decoder": {"type": "taae", "config": {"out_channels": 4, **TINY, **SHARED}},
        "pretransform": {"type": "patched", "config": {"patch_size": 4, "channels": 1}},
        "bottleneck": {"type": "dithered_fsq", "config": quantizer},
        "latent_dim": 6,
        "downsampling_ratio": 8,
        "io_channels": 1,
    }
    config = {"model_type": "autoencoder", "sample_rate": 16000, "audio_channels": 1, "model": model}
    (folder / "config.json").write_text(json.dumps(config))
    # it moved; the codec's package still looks for it where it was
    training, models = (import_module(f"stable_audio_tools.{name}.utils") for name in ("training", "models"))
    replace(training, "copy_state_dict", models.copy_state_dict)
    codec = import_module("stable_codec.model").StableCodec(model_config_path=str(folder / "config.json"))
    for name, weight in codec.model.named_parameters():
        if name.endswith("weight_g"):
            weight *= 1 + 0.3 * torch.rand(weight.shape)
        elif name.endswith("_scale.scale"):
            weight.copy_(0.3 + torch.rand(weight.shape))
        elif name.endswith(("gamma", "norm.weight")):
            weight.copy_(0.5 + torch.rand(weight.shape))
        elif name.endswith("bias"):
            weight.copy_(0.1 * torch.randn(weight.shape))
    codec.model.encoder.layers[-1].weight_g *= 4  # latents that reach many levels
    for weight in codec.model.parameters():
        weight.copy_(weight.half().float())
    return codec, config


@torch.no_grad()
def golden(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights, signals, and the official latents, codes and audio; and the config."""
    torch.manual_seed(SEED)
    codec, config = tiny_codec(folder)
    weights = codec.model.state_dict()
    found = {
        f"checkpoint.{key}": value if "inv_freq" in key else value.half() for key, value in weights.items()
    }
    recording = HERE.parents[1] / "codecs" / "pretrained" / "librivox.flac"
    speech = soundfile.read(recording, dtype="int16", start=20000, frames=6501)[0]
    soundfile.write(folder / "speech.wav", speech, 16000)
    replace(import_module("torchaudio"), "load", read)
    inputs = {"noise": (0.3 * torch.randn(2, 1, 304)).half().float(), "file": str(folder / "speech.wav")}
    found |= {"noise.wav": inputs["noise"], "file.wav": torch.from_numpy(speech)}
    for name, wav in inputs.items():
        for preset in (None, *PRESETS):
            if preset:
                codec.set_posthoc_bottleneck(preset)
            latents, tokens = codec.encode(wav, posthoc_bottleneck=bool(preset))
            audio = codec.decode(tokens, posthoc_bottleneck=bool(preset))
            codes = torch.cat(tokens, -1) if preset else tokens
            found[f"{name}.latents"] = latents
            key = f"{name}.{preset.split('_')[0] if preset else 'training'}"
            found[f"{key}.codes"] = codes.transpose(1, 2).int()
            if name == "noise" or preset == PRESETS[1]:
                found[f"{key}.audio"] = audio
    return {key: value.clone().contiguous() for key, value in found.items()}, config


def keys() -> dict[str, list[int]]:
    """Names and shapes of the full model, as in the official checkpoint."""
    autoencoders = import_module("stable_audio_tools.models.autoencoders")
    with torch.device("meta"):
        parts = {
            "encoder": autoencoders.TAAEEncoder(in_channels=320, **FULL, **SHARED),
            "decoder": autoencoders.TAAEDecoder(out_channels=320, **FULL, **SHARED),
        }
    return {
        f"{name}.{key}": list(value.shape)
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }


if __name__ == "__main__":
    codec_checkout, codec_commit, tools_checkout, tools_commit = sys.argv[1:]
    sys.path[:0] = [codec_checkout, tools_checkout]
    sys.meta_path.insert(0, Stubs())
    names = keys()
    with tempfile.TemporaryDirectory() as made:
        tensors, described = golden(Path(made))
    origin = {
        "made_from": "github.com/Stability-AI/stable-codec, github.com/Stability-AI/stable-audio-tools",
        "commit": f"{codec_commit}, {tools_commit}",
        "config": json.dumps(described),
    }
    save_file(tensors, HERE / "stablecodec.safetensors", origin)
    (HERE / "stablecodec_keys.json").write_text(json.dumps(names, separators=(",", ":")) + "\n")
