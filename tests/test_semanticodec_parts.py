"""SemantiCodec's own parts: the filterbank, its segments, the quantizer, the sampler, the windows."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from vocable.codecs.backbones.semanticodec.attention import Attention
from vocable.codecs.backbones.semanticodec.decoder import SHARED, SemantiCodecDecoder, sinusoids
from vocable.codecs.backbones.semanticodec.diffusion import ddim, signal_levels
from vocable.codecs.backbones.semanticodec.encoder import SEGMENT, SemantiCodecEncoder, sounding
from vocable.codecs.backbones.semanticodec.fbank import Fbank
from vocable.codecs.backbones.semanticodec.hifigan import HiFiGAN
from vocable.codecs.backbones.semanticodec.unet import UNet
from vocable.codecs.backbones.semanticodec.vae import VAEDecoder
from vocable.quantizers.semantic_residual import SemanticResidual


@pytest.mark.parametrize("length", [400, 559, 560, 16_000, 40_321])
def test_fbank_is_kaldis(length: int) -> None:
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    torch.manual_seed(0)
    wav = torch.randn(3, length) * torch.tensor([[1e-3], [0.1], [1.0]]) + 0.01
    wav[0, length // 2 :] = 0.01
    options = {"htk_compat": True, "window_type": "hanning", "num_mel_bins": 128, "dither": 0.0}
    expected = torch.stack([kaldi.fbank(item[None], sample_frequency=16_000.0, **options) for item in wav])
    torch.testing.assert_close(Fbank()(wav), expected, rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("stack", "rows"), [((1, 1), 512), ((1, 2), 256), ((2, 2), 128)])
def test_frames_are_blocks_of_patches(
    stack: tuple[int, int], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = SemantiCodecEncoder(8, 2, stack)
    patches = torch.arange(512.0)[None, :, None].expand(-1, -1, 8)
    monkeypatch.setattr(encoder.audiomae, "forward", lambda _: patches)
    z = encoder.describe(torch.randn(1, 1024, 128))
    assert z.shape == (1, 8 * stack[0] * stack[1] + 1, rows)
    index = torch.arange(512).view(64, 8)  # patches by time and band
    block = index[: stack[0], 2 * stack[1] : 3 * stack[1]].flatten().repeat_interleave(8)
    assert torch.equal(z[0, :-1, 2], block.float())


def test_sounding_ends_with_the_last_frame_that_is_not_flat() -> None:
    spectrograms = torch.zeros(4, 16, 8)
    spectrograms[0, [2, 6]] += torch.randn(2, 8)  # the 7th of 16 frames: the 4th of 8 blocks
    spectrograms[1] += torch.randn(16, 8)
    spectrograms[2, 9] += torch.randn(8)  # alone, and so not counted
    expected = torch.tensor([[1.0] * 4 + [0.0] * 4, [1.0] * 8, [0.0] * 8, [0.0] * 8])
    assert torch.equal(sounding(spectrograms, 8)[:, 0], expected)


@torch.no_grad()
def test_segments_are_those_of_the_whole_signals_spectrogram() -> None:
    encoder = SemantiCodecEncoder(8, 2)
    torch.manual_seed(0)
    wav = 0.1 * torch.randn(1, 2 * SEGMENT + 5000)
    whole = encoder.fbank(wav)
    parts = torch.cat([encoder.spectrogram(wav, start) for start in (0, SEGMENT)], 1)
    torch.testing.assert_close((whole[:, :2048] + 4.2677393) / (2 * 4.5689974), parts)
    for length in (SEGMENT - 300, SEGMENT + 100):  # what is past the end is silence
        cut = encoder.spectrogram(wav[:, :length], 0)
        assert cut.shape == (1, 1024, 128)
        torch.testing.assert_close(cut[:, :1010], parts[:, :1010])


def quantizer(**options: int) -> SemanticResidual:
    torch.manual_seed(0)
    return SemanticResidual(4, 16, 32, layers=1, segment=8, **options)


def test_quantizer_codes_and_decodes() -> None:
    made = quantizer().eval()
    z = torch.cat([torch.randn(2, 4, 20), torch.ones(2, 1, 20)], dim=1)
    codes = made.encode(z)
    assert codes.shape == (2, 2, 20)
    decoded = made.decode(codes)
    assert torch.equal(decoded[:, 4:], made.centroids[codes[:, 0]].transpose(1, 2))
    assert torch.equal(decoded[:, :4], made.acoustic.table[codes[:, 1]].transpose(1, 2))
    out = made(z)
    assert torch.equal(out.codes, codes)
    torch.testing.assert_close(out.z, decoded)
    # a segment knows nothing of the others
    assert torch.equal(made.encode(z[..., 8:16]), codes[..., 8:16])
    with pytest.raises(ValueError, match=r"codes lie in 0\.\.40; accepted: 0\.\.V-1"):
        made.decode(torch.tensor([[[0], [40]]]))


def test_quantizer_hears_nothing_in_the_silence_that_ends_a_segment() -> None:
    made = quantizer().eval()
    z = torch.randn(1, 5, 8)
    z[:, -1] = (torch.arange(8) < 5).float()
    other = z.clone()
    other[:, :4, 5:] += torch.randn(4, 3)
    assert torch.equal(made.encode(z)[:, 1], made.encode(other)[:, 1])
    # frames cut off are silence as well
    assert torch.equal(made.encode(z[..., :6])[:, 1], made.encode(z)[:, 1, :6])


def test_quantizer_trains() -> None:
    made = quantizer()
    z = torch.cat([torch.randn(2, 4, 16), torch.ones(2, 1, 16)], dim=1).requires_grad_()
    before = made.acoustic.embed.clone()
    out = made(z)
    (out.z.square().mean() + out.loss).backward()
    assert z.grad is not None
    assert z.grad[:, :4].abs().max() > 0
    assert made.project.weight.grad is not None
    assert not torch.equal(before, made.acoustic.embed)


def test_signal_levels_fall_from_one_to_none() -> None:
    levels = signal_levels()
    assert levels.shape == (1000,)
    assert float(levels[0]) == pytest.approx(1 - 0.0015)
    assert 0 < float(levels[-1]) < 0.005
    assert bool((levels.diff() < 0).all())


@pytest.mark.parametrize("steps", [2, 3, 50])
def test_ddim_finds_the_signal_of_a_model_that_knows_it(steps: int) -> None:
    torch.manual_seed(0)
    target, levels, seen = torch.randn(2, 3), signal_levels(), []

    def velocity(x: Tensor, time: int) -> Tensor:
        seen.append(time)
        level = levels[time]
        noise = (x - level.sqrt() * target) / (1 - level).sqrt()
        return level.sqrt() * noise - (1 - level).sqrt() * target

    found = ddim(velocity, lambda: torch.randn(2, 3), steps)
    assert len(seen) == steps
    assert seen[-1] == 1
    assert all(later < earlier for earlier, later in pairwise(seen))
    # what noise is left is that of the schedule's first step
    assert (found - levels[0].sqrt() * target).abs().max() < 5 * (1 - levels[0]).sqrt()


@pytest.mark.parametrize("steps", [0, 501])
def test_ddim_refuses_other_numbers_of_steps(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps is {steps}; accepted: 1 to 500"):
        ddim(lambda x, _: x, lambda: torch.zeros(1), steps)


def decoder() -> SemantiCodecDecoder:
    unet = UNet(32, (1, 2), context_dim=8 + 192, head_dim=16)
    return SemantiCodecDecoder(unet, VAEDecoder(32, (1, 2)), HiFiGAN(channels=32), window=128)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (1, [(0, 1)]),
        (128, [(0, 128)]),
        (129, [(0, 128), (120, 129)]),
        (249, [(0, 128), (120, 248), (240, 249)]),
    ],
)
def test_windows_overlap_until_all_is_covered(frames: int, expected: list[tuple[int, int]]) -> None:
    found = [(int(part[0]), int(part[-1]) + 1) for part in decoder().windows([(torch.arange(frames), True)])]
    assert found == expected


def test_windows_fade_into_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    made, levels = decoder(), iter([1.0, 3.0, 2.0])
    length = SEGMENT + 32
    monkeypatch.setattr(made, "sample", lambda *_: torch.full((1, 1, length), next(levels)))
    wav = torch.cat(list(made.joined([torch.zeros(1, 8, 128)] * 3)), -1)[0, 0]
    assert wav.shape == (3 * length - 2 * SHARED,)
    step = length - SHARED
    assert torch.equal(wav[:step].unique(), torch.tensor([1.0]))
    torch.testing.assert_close(wav[step : step + SHARED], torch.linspace(1, 3, SHARED))
    torch.testing.assert_close(wav[2 * step : 2 * step + SHARED], torch.linspace(3, 2, SHARED))
    assert torch.equal(wav[-step:].unique(), torch.tensor([2.0]))


def test_noise_is_the_seeds_and_the_same_alone_and_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the networks only what they do to one item and its context matters here."""
    made = decoder()
    monkeypatch.setattr(made.unet, "read", lambda context: context.mean((1, 2))[:, None, None, None])
    monkeypatch.setattr(made.unet, "forward", lambda x, _, memory: 0.1 * x + memory)
    monkeypatch.setattr(made.vae, "forward", lambda latents: latents.flatten(1, 2))
    monkeypatch.setattr(made.vocoder, "forward", lambda x: x.flatten(1)[:, None].repeat(1, 1, 6))
    z = torch.randn(2, 8, 200)
    both = made(z)[0]
    torch.manual_seed(5)  # the caller's random numbers don't matter, and stay
    before = torch.get_rng_state()
    assert torch.equal(made(z[1:])[0], both[1:])
    assert torch.equal(torch.get_rng_state(), before)
    assert both.shape == (2, 1, 200 * made.hop_length)
    assert not torch.equal(both[0], both[1])
    made.seed = 1
    assert (made(z)[0] - both).abs().max() > 0.1


def test_context_says_what_is_silence_and_where_a_frame_stands() -> None:
    made = decoder()
    context = made.context(torch.full((2, 8, 5), 4.0), guided=True)
    assert context.shape == (4, 128, 200)
    assert not context[:2, :, :8].any()
    assert torch.equal(context[2:, :5, :8].unique(), torch.tensor([4.0]))
    assert torch.equal(context[2:, 5:, :8].unique(), torch.tensor([-1.0]))
    for item in context:
        assert torch.equal(item[:, 8:], sinusoids(128, 192))


@torch.no_grad()
def test_attention_is_torchs() -> None:
    torch.manual_seed(0)
    made, peer = Attention(16, 4, 12), nn.MultiheadAttention(16, 4, kdim=12, vdim=12, batch_first=True)
    for name, layer in {"q": made.q, "k": made.k, "v": made.v}.items():
        getattr(peer, f"{name}_proj_weight").copy_(layer.weight)
    peer.out_proj.load_state_dict(made.out.state_dict())
    x, context = torch.randn(2, 5, 16), torch.randn(2, 7, 12)
    torch.testing.assert_close(made(x, made.read(context)), peer(x, context, context)[0])
