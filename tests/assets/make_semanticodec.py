"""Makes semanticodec.safetensors and _keys.txt from a checkout of haoheliu/SemantiCodec-inference.

    python tests/assets/make_semanticodec.py CHECKOUT COMMIT

The first has what the official classes make of signals and codes, tiny and at full size; their weights are
made, here and in the tests, by semanticodec_inputs.py. The second has a line for each tensor: file, name, its
shape in the tiny model and in the full one, three shapes where they differ at 100, 50, 25 tokens a second.
"""

import json
import re
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from semanticodec_inputs import (
    CENTROIDS,
    FULL,
    LENGTHS,
    RATES,
    STEPS,
    TINY,
    fill,
    normal,
    part_inputs,
    signal,
)
from torch import Tensor

HERE = Path(__file__).parent
SIZES = {"tiny": TINY, "full": FULL}
NOT_FILLED = r"model_ema\..+|betas|logvar|alphas_.+|sqrt_.+|log_one_.+|posterior_.+"


class Official:
    """The official codec with weights of `fill`, at `sizes`; its own constructors know full size only."""

    def __init__(self, rate: int, sizes: dict[str, int], device: str = "cpu") -> None:
        main = import_module("semanticodec.main")
        config, _, _, layers, _ = import_module("semanticodec.config").get_config(rate, 16384)
        params = config["model"]["params"]
        width = sizes["dim"] * 100 // rate
        params["unet_config"]["params"] |= {"model_channels": sizes["unet"], "context_dim": [2 * width + 192]}
        params["first_stage_config"]["params"]["ddconfig"]["ch"] = sizes["vae"]
        autoencoder = import_module("semanticodec.modules.decoder.latent_encoder.autoencoder")
        vars(autoencoder)["get_vocoder"] = lambda *_: vocoder(sizes["vocoder"])
        codec = main.SemantiCodec.__new__(main.SemantiCodec)
        torch.nn.Module.__init__(codec)
        vars(codec).update(token_rate=rate, stack_factor_K=100 / rate, ddim_sample_step=STEPS, cfg_scale=2.0)
        codec.device = torch.device("cpu")
        with torch.device(device):
            codec.encoder = encoder(width, layers, sizes)
        diffusion = import_module("semanticodec.modules.decoder.latent_diffusion.util")
        codec.decoder = diffusion.instantiate_from_config(config["model"])
        for part in (codec.encoder, codec.decoder) if device == "cpu" else ():
            state = part.state_dict()
            for key in [key for key in state if not re.fullmatch(NOT_FILLED, key)]:
                state[key] = fill(key, state[key].shape).to(state[key].dtype)
            part.load_state_dict(state)
        self.codec, self.main = codec.eval(), main

    def shapes(self) -> dict[str, tuple[int, ...]]:
        parts = {"encoder": self.codec.encoder, "decoder": self.codec.decoder}
        return {f"{p} {k}": tuple(v.shape) for p, part in parts.items() for k, v in part.state_dict().items()}

    def take_centroids(self) -> Tensor:
        """Centroids near what the encoder gives for a signal, so that all of them are used."""
        mel = self.main.extract_kaldi_fbank_feature(signal(163_840)[None], 16_000)["ta_kaldi_fbank"]
        z = self.codec.encoder.audiomae(mel[None, None], no_mask=True)
        z = z[:, 1:] if self.codec.token_rate == 100 else self.codec.encoder.concate(z).flatten(1, 2)
        chosen = z[0, :: z.shape[1] // CENTROIDS][:CENTROIDS]
        self.codec.encoder.centroid_npy = chosen + 0.15 * normal("spread", *chosen.shape)
        return self.codec.encoder.centroid_npy

    def encode(self, wav: Tensor) -> Tensor:
        """wav (T,) to codes (1, 2, N), past the official reading of files."""
        audio = SimpleNamespace(load=lambda _: (wav[None], 16_000))
        system = SimpleNamespace(path=SimpleNamespace(exists=lambda _: True))
        vars(self.main).update(torchaudio=audio, os=system)
        return self.codec.encode("").transpose(1, 2).contiguous()

    def decode(self, codes: Tensor, guidance: float = 2.0) -> Tensor:
        torch.manual_seed(0)
        self.codec.cfg_scale = guidance
        return torch.from_numpy(self.codec.decode(codes.transpose(1, 2))).float()


def vocoder(channels: int) -> Any:
    hifigan = import_module("semanticodec.modules.decoder.hifigan")
    kernels = {"upsample_rates": [5, 4, 2, 2, 2], "upsample_kernel_sizes": [16, 16, 8, 4, 4]}
    blocks = {"resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3}
    sizes = {"upsample_initial_channel": channels, "num_mels": 64}
    made = hifigan.Generator_old(hifigan.AttrDict(kernels | blocks | sizes))
    made.remove_weight_norm()
    return made


def encoder(width: int, layers: int, sizes: dict[str, int]) -> Any:
    """The official encoder, whose source has AudioMAE's width in it as a number."""
    source = Path(str(import_module("semanticodec.modules.encoder.encoder").__file__)).read_text()
    module = ModuleType("encoder")
    exec(re.sub(r"\b768\b", str(sizes["dim"]), source), module.__dict__)
    module.__dict__["np"] = SimpleNamespace(load=lambda _: np.zeros((CENTROIDS, width), np.float32))
    made = module.__dict__["AudioMAEConditionQuantResEncoder"](
        feature_dimension=width, lstm_layer=layers, centroid_npy_path=""
    )
    if sizes != FULL:
        mae = import_module("semanticodec.modules.audiomae.models_mae")
        norm = partial(torch.nn.LayerNorm, eps=1e-6)
        image = {
            "patch_size": 16,
            "in_chans": 1,
            "audio_exp": True,
            "img_size": (1024, 128),
            "norm_layer": norm,
        }
        dims = {"embed_dim": sizes["dim"], "depth": 12, "num_heads": sizes["heads"]}
        unused = {"decoder_embed_dim": 16, "decoder_num_heads": 4}
        made.audiomae.model = mae.MaskedAutoencoderViT(**image, **dims, **unused)
    return made


def parts(official: Official) -> dict[str, Tensor]:
    """Outputs of the official sub-networks."""
    decoder = official.codec.decoder
    given = part_inputs()
    condition = {"crossattn_audiomae_pooled": [given["context"], torch.ones(2, 12)]}
    return {
        "audiomae": official.codec.encoder.audiomae(given["audiomae"][:, None], no_mask=True)[:, 1::8],
        "unet": decoder.apply_model(given["unet"], torch.tensor([1, 981]), condition),
        "vae": decoder.first_stage_model.decode(given["vae"])[:, 0],
        "vocoder": decoder.first_stage_model.vocoder(given["vocoder"]),
    }


def golden(speech: Tensor) -> dict[str, Tensor]:
    """All that is compared; `speech` (T,)."""
    found: dict[str, Tensor] = {}
    for rate in RATES:
        official = Official(rate, TINY)
        found[f"{rate}.centroids"] = official.take_centroids()
        for length in LENGTHS:
            found[f"{rate}.codes.{length}"] = official.encode(signal(length))
        found[f"{rate}.codes.speech"] = official.encode(speech)
        long = found[f"{rate}.codes.170001"][..., : 530 * rate // 100]
        found[f"{rate}.wav.long"] = official.decode(long)[..., ::160]
        if rate == 100:
            found |= parts(official)
            found["100.wav.7679"] = official.decode(found["100.codes.7679"])[..., ::3]
            found["100.wav.alone"] = official.decode(found["100.codes.2560"], guidance=1.0)[..., ::3]
    official = Official(100, FULL)
    official.codec.encoder.centroid_npy = normal("centroids", CENTROIDS, FULL["dim"])
    found["full.codes"] = official.encode(signal(60_000))
    found["full.wav"] = official.decode(found["full.codes"])[..., ::40]
    return found


def layout() -> str:
    """The lines of semanticodec_keys.txt; the moving average's names follow from the others' in the tests."""
    shapes = {key: [Official(rate, sizes, "meta").shapes() for rate in RATES] for key, sizes in SIZES.items()}
    lines = []
    for name in shapes["tiny"][0]:
        if "model_ema." not in name:
            columns = [[text(found.get(name)) for found in kind] for kind in shapes.values()]
            lines.append(" ".join([name, *(c[0] if len(set(c)) == 1 else ",".join(c) for c in columns)]))
    return "\n".join(lines) + "\n"


def text(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else "x".join(map(str, shape)) or "scalar"


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    samplers = import_module("semanticodec.modules.decoder.latent_diffusion.models.ddim")
    samplers.DDIMSampler.__init__.__defaults__ = ("linear", torch.device("cpu"))
    (HERE / "semanticodec_keys.txt").write_text(layout())
    from vocable.codecs.audio import read, resample

    clip, clip_rate = read(HERE.parents[1] / "codecs" / "pretrained" / "librivox.flac")
    part = resample(clip[:, clip_rate // 2 :], clip_rate, 16_000)[0, :49_999]
    with torch.no_grad():
        values = {name: value.contiguous().clone() for name, value in golden(part).items()}
    values |= {name: value.short() for name, value in values.items() if value.dtype == torch.int64}
    about = {"source": "https://github.com/haoheliu/SemantiCodec-inference", "commit": sys.argv[2]}
    save_file(values, HERE / "semanticodec.safetensors", metadata={"about": json.dumps(about)})
