"""Makes losses.safetensors: numbers of losses and discriminators whose code no package installs.

Usage: python make_losses.py XCODEC XCODEC2 AUDIOLM, the checkouts of github.com/zhenye234/xcodec at a2e52d3,
github.com/zhenye234/X-Codec-2.0 at e5d3b26 and github.com/lucidrains/audiolm-pytorch at 2.4.0.
"""

import ast
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import scipy.signal
import torch
import torch.nn.functional as F
from einops import rearrange
from safetensors.torch import save_file
from torch import Tensor, nn

BANDS = (6, 8)
COMPLEX = {"Sequential", "exists", "ModReLU", "ComplexConv2d", "ComplexSTFTResidualUnit", "Residual"}


def modernise() -> None:
    """What X-codec's code needs that scipy and torch no longer have."""
    scipy.signal.kaiser = scipy.signal.windows.kaiser  # pyright: ignore[reportAttributeAccessIssue]
    stft = torch.stft

    def real_stft(*args: Any, return_complex: bool, **options: Any) -> Tensor:
        spec = stft(*args, return_complex=True, **options)
        return spec if return_complex else torch.view_as_real(spec)

    torch.stft = real_stft


def load(root: Path, name: str) -> Any:
    """A module of a checkout, with none of its packages' own imports."""
    parts = name.split(".")
    for i in range(1, len(parts)):
        package = types.ModuleType(".".join(parts[:i]))
        package.__path__ = [str(root.joinpath(*parts[:i]))]
        sys.modules[package.__name__] = package
    spec = importlib.util.spec_from_file_location(name, root.joinpath(*parts).with_suffix(".py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def halve(model: nn.Module, name: str) -> dict[str, Tensor]:
    """Round a model's weights to float16, as which they are saved."""
    state = {key: value.half() for key, value in model.state_dict().items() if "window" not in key}
    state = {key: value for key, value in state.items() if not key.startswith("stfts.")}
    model.load_state_dict(state, strict=False)
    return {f"{name}.state.{key}": value for key, value in state.items()}


def summary(outputs: list[list[Tensor]], name: str) -> dict[str, Tensor]:
    """Logits whole, and the mean magnitudes of the other feature maps."""
    logits = {f"{name}.logits.{i}": maps[-1] for i, maps in enumerate(outputs)}
    means = [torch.stack([x.abs().mean() for x in maps[:-1]]) for maps in outputs]
    return logits | {f"{name}.means.{i}": mean for i, mean in enumerate(means)}


def signals() -> tuple[Tensor, Tensor]:
    """A rising tone and its noisy copy, (2, 1, 2400)."""
    time = torch.arange(2400) / 16000
    tone = 0.3 * torch.sin(2 * torch.pi * (200 + 2000 * time) * time) * torch.sin(2 * torch.pi * 5 * time)
    wav = tone * torch.tensor([1.0, 0.4]).view(2, 1, 1) + 0.02 * torch.randn(2, 1, 2400)
    return wav.half().float(), (wav + 0.05 * torch.randn(2, 1, 2400)).half().float()


def xcodec(root: Path, wav: Tensor, estimate: Tensor) -> dict[str, Tensor]:
    load(root, "modules.commons.torch_stft")
    discriminators = load(root, "modules.discriminators.frequency_discriminator")
    PQMF, losses = load(root, "modules.commons.pqmf").PQMF, load(root, "losses.basic_loss")
    out = {}
    for bands in BANDS:
        analysed = PQMF(bands).analysis(wav[:1])
        out[f"pqmf.{bands}.bands"] = analysed[..., :40]
        out[f"pqmf.{bands}.wav"] = PQMF(bands).synthesis(analysed)[..., :120]
    full = losses.MultiResolutionSTFTLoss([512, 1024, 2048], [480, 960, 1200], [120, 240, 300])
    sub = losses.MultiResolutionSTFTLoss([128, 256, 256], [80, 120, 200], [20, 40, 50])
    bank = PQMF(6)
    x, y = (bank.analysis(signal).flatten(0, 1) for signal in (estimate, wav))
    out |= {"stft.full": sum(full(estimate.squeeze(1), wav.squeeze(1))), "stft.bands": sum(sub(x, y))}
    config = types.SimpleNamespace(
        hop_lengths=[16, 64], hidden_channels=[32, 32], domain="double", mel_scale=True, sample_rate=16000
    )
    model = discriminators.MultiFrequencyDiscriminator(config)
    out |= halve(model, "mfd")
    real, fake, real_maps, fake_maps = model(wav, estimate)
    pairs = zip(fake, real, strict=True)
    out["mfd.discriminator"] = sum(losses.MSEDLoss()(f, r)[0] for f, r in pairs) / len(fake)
    out["mfd.generator"] = losses.MSEGLoss()(fake)
    out["mfd.features"] = losses.FeatureMatchLoss()(real_maps, fake_maps)
    return out | summary([[*maps, logits] for maps, logits in zip(real_maps, real, strict=True)], "mfd")


def xcodec2(root: Path, wav: Tensor) -> dict[str, Tensor]:
    load(root, "common.audio")
    windows = [78, 334]
    settings = {
        "fft_sizes": windows,
        "hop_sizes": [window // 2 for window in windows],
        "win_lengths": windows,
        "window": "hann_window",
    }
    spec = load(root, "module.mstft").SpecDiscriminator(
        settings, kernel_sizes=(5, 3), channels=2, max_downsample_channels=8
    )
    mpd = load(root, "module.mpd").HiFiGANMultiPeriodDiscriminator(
        [3, 7], channels=2, max_downsample_channels=8
    )
    out = halve(spec, "spec") | halve(mpd, "mpd")
    return out | summary(spec(wav), "spec") | summary(mpd(wav[..., :-1]), "mpd")


def audiolm(root: Path) -> dict[str, Tensor]:
    tree = ast.parse((root / "audiolm_pytorch" / "soundstream.py").read_text())
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "rearrange": rearrange, "Module": nn.Module}
    tree.body = [node for node in tree.body if getattr(node, "name", "") in COMPLEX]
    exec(compile(tree, "soundstream", "exec"), names)  # the file imports more than is installed
    unit = names["ComplexSTFTResidualUnit"](2, 3, (2, 2))
    nn.init.constant_(unit[0].fn[1].b, -0.3)
    state = halve(unit, "unit")
    x = torch.randn(1, 2, 6, 9, dtype=torch.complex64)
    return state | {"unit.input": torch.view_as_real(x), "unit.output": torch.view_as_real(unit(x))}


def main() -> None:
    modernise()
    torch.manual_seed(0)
    roots = [Path(argument).resolve() for argument in sys.argv[1:]]
    sys.modules["omegaconf"] = types.SimpleNamespace(DictConfig=dict)  # pyright: ignore[reportArgumentType]
    wav, estimate = signals()
    out = {"wav": wav.half(), "estimate": estimate.half(), **xcodec(roots[0], wav, estimate)}
    out |= {**xcodec2(roots[1], wav), **audiolm(roots[2])}
    commits = {"xcodec": "a2e52d3", "X-Codec-2.0": "e5d3b26", "audiolm-pytorch": "2.4.0"}
    out = {key: value.detach().contiguous() for key, value in out.items()}
    save_file(out, Path(__file__).with_name("losses.safetensors"), metadata=commits)


if __name__ == "__main__":
    main()
