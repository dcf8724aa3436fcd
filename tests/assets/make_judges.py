"""Makes judges.json from checkouts of tarepan/SpeechMOS, microsoft/UniSpeech and s3prl/s3prl.

    python tests/assets/make_judges.py SPEECHMOS UNISPEECH S3PRL [--full]

It has the names and shapes of the tensors of tiny official models, and what these make of signals; weights
and signals are made, here and in the tests, by judges_inputs.py. With --full it compares the models of full
size instead, official and ours, with the same random weights, and prints the largest differences.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import ModuleType
from typing import Any

import torch
from judges_inputs import CONV, HEAD, LENGTHS, UTMOS, WAVLM, fill, signal
from torch import Tensor, nn

HERE = Path(__file__).parent
Sizes = dict[str, int]
WAVLM_FULL = {"dim": 1024, "hidden": 4096, "heads": 16, "layers": 24, "pos": 128, "groups": 16}
WAVLM_FULL |= {"buckets": 320, "far": 800}


def filled(model: nn.Module) -> Any:
    """`model` with weights of `fill`, for inference."""
    model.load_state_dict({name: fill(name, tuple(x.shape)) for name, x in model.state_dict().items()})
    return model.eval()


def stub(name: str, **members: Any) -> None:
    """A module that stands for one that loading needs and running does not."""
    sys.modules[name] = module = ModuleType(name)
    vars(module).update(members)


def official_utmos(sizes: Sizes | None) -> Any:
    """UTMOS22Strong; its own constructors know full size only."""
    main, parts = (
        import_module("speechmos.utmos22.strong.model"),
        import_module("speechmos.utmos22.fairseq_alt"),
    )
    if sizes is None:
        return filled(main.UTMOS22Strong())

    class Encoder(parts.TransformerEncoder):
        def build_encoder_layer(self, feat: int) -> nn.Module:
            return parts.TransformerSentenceEncoderLayer(
                feat, sizes["hidden"], sizes["heads"], "gelu", 0.1, 0.1, 0.0, False
            )

    dim, embedding, width = sizes["dim"], sizes["embedding"], CONV["width"]
    speech = parts.Wav2Vec2Model.__new__(parts.Wav2Vec2Model)
    nn.Module.__init__(speech)
    layers = [(width, *layer) for layer in zip(CONV["kernels"], CONV["strides"], strict=True)]
    speech.feature_extractor = parts.ConvFeatureExtractionModel(layers)
    speech.layer_norm, speech.post_extract_proj = nn.LayerNorm(width), nn.Linear(width, dim)
    speech.encoder, speech.mask_emb = Encoder(dim), nn.Parameter(torch.zeros(dim))
    model = main.UTMOS22Strong.__new__(main.UTMOS22Strong)
    nn.Module.__init__(model)
    model.wav2vec2 = speech
    model.domain_emb, model.judge_emb = (nn.Parameter(torch.zeros(1, embedding)) for _ in range(2))
    model.blstm = nn.LSTM(dim + 2 * embedding, sizes["lstm"], batch_first=True, bidirectional=True)
    head = nn.Linear(2 * sizes["lstm"], sizes["projection"]), nn.ReLU(), nn.Linear(sizes["projection"], 1)
    model.projection = nn.Sequential(*head)
    return filled(model)


def official_speaker(sizes: Sizes, width: int, head: Sizes) -> Any:
    """UniSpeech's ECAPA_TDNN upon s3prl's WavLM, as its verification.py has it."""
    wavlm = import_module("s3prl.upstream.wavlm.WavLM")
    layers = [(width, *layer) for layer in zip(CONV["kernels"], CONV["strides"], strict=True)]
    config = {
        "extractor_mode": "layer_norm",
        "encoder_layers": sizes["layers"],
        "encoder_embed_dim": sizes["dim"],
        "encoder_ffn_embed_dim": sizes["hidden"],
        "encoder_attention_heads": sizes["heads"],
        "layer_norm_first": True,
        "conv_feature_layers": str(layers),
        "normalize": True,
        "conv_pos": sizes["pos"],
        "conv_pos_groups": sizes["groups"],
        "relative_position_embedding": True,
        "num_buckets": sizes["buckets"],
        "max_distance": sizes["far"],
        "gru_rel_pos": True,
    }
    with NamedTemporaryFile() as file:
        torch.save({"cfg": config, "model": wavlm.WavLM(wavlm.WavLMConfig(config)).state_dict()}, file.name)
        expert = import_module("s3prl.upstream.wavlm.expert").UpstreamExpert(file.name)
    torch.hub.load = lambda *_: expert
    ecapa = import_module("models.ecapa_tdnn").ECAPA_TDNN
    return filled(ecapa(sizes["dim"], head["channels"], emb_dim=head["embedding"], feat_type="wavlm_large"))


def of(model: nn.Module, lengths: tuple[int, ...], run: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """Names and shapes of a model's tensors, and what it makes of signals."""
    made = {str(length): run(signal(length)[None])[0].tolist() for length in lengths}
    return {"shapes": {name: list(x.shape) for name, x in model.state_dict().items()}, "made": made}


def compare() -> None:
    """Print how far ours is from the official models at full size."""
    from vocable.benchmarks.judges import utmos, wavlm_sv
    from vocable.benchmarks.judges.ecapa import ECAPA
    from vocable.codecs.zoo.xcodec import base

    theirs = official_utmos(None)
    ours: Any = utmos.StrongLearner(base("wav2vec2")).eval()
    ours.load_state_dict(utmos.state(theirs.state_dict()))
    for length in (400, 16_007, 48_000):
        wav = signal(length)[None]
        print("UTMOS", length, theirs(wav, 16_000).item(), ours(wav).item())
    theirs = official_speaker(WAVLM_FULL, 512, {"channels": 512, "embedding": 256})
    ours = wavlm_sv.SpeakerEmbedding(wavlm_sv.LARGE, ECAPA(1024)).eval()
    ours.load_state_dict(wavlm_sv.state(theirs.state_dict()))
    print(len(theirs.state_dict()), "tensors")
    for length in (720, 16_007, 48_000):
        found = [model(signal(length)[None]) for model in (theirs, ours)]
        print("speaker", length, found[0].norm().item(), (found[0] - found[1]).abs().max().item())


if __name__ == "__main__":
    speechmos, unispeech, s3prl = sys.argv[1:4]
    sys.path[:0] = [speechmos, f"{unispeech}/downstreams/speaker_verification", s3prl]
    sys.modules.pop("speechmos", None)  # a package of the same name predicts other scores
    stub("models.utils", UpstreamExpert=None)
    stub("s3prl.utility.helper", show=print)
    with torch.no_grad():
        if sys.argv[4:] == ["--full"]:
            compare()
        else:
            utmos, speaker = official_utmos(UTMOS), official_speaker(WAVLM, CONV["width"], HEAD)
            found = {
                "utmos": of(utmos, LENGTHS["utmos"], lambda wav: utmos(wav, 16_000)[:, None]),
                "speaker": of(speaker, LENGTHS["speaker"], speaker),
            }
            (HERE / "judges.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")
