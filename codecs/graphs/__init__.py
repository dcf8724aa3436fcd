"""Whole signals through a codec's halves as graphs: torch.compile, torch.export, ONNX."""

from vocable.codecs.graphs.agreement import Agreement
from vocable.codecs.graphs.folder import export_onnx
from vocable.codecs.graphs.modules import DecoderGraph, EncoderGraph, Programs, programs

__all__ = ["Agreement", "DecoderGraph", "EncoderGraph", "Programs", "export_onnx", "programs"]
