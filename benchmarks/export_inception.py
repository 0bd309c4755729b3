"""Exports the Inception network that published FIDs are computed with to an ONNX file, once:

    python benchmarks/export_inception.py inception.onnx

Afterwards `gm.metrics.OnnxExtractor("inception.onnx")` gives its 2048 features. Needs `pip install torch torch-fidelity
onnx`, and on its first run the network to fetch the weights (about 90 MB, which torch-fidelity keeps). The images' way
to 299 x 299 pixels is not in the file: the extractor takes them there by an antialiased bicubic resize, as clean-fid
(Parmar, Zhang and Zhu 2022) does, and grey ones are repeated in three channels. FIDs of other resizes differ.
"""

from __future__ import annotations

import argparse
import sys

SIDE = 299
METADATA = {"genmodels.range": "[0, 255]"}  # what black and white are to the network


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="the file to write")
    arguments = parser.parse_args()
    try:
        import onnx
        import torch
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        print(f"{error}: pip install torch torch-fidelity onnx", file=sys.stderr)
        return 1

    class Pooled(torch.nn.Module):
        """From (N, 3, 299, 299), 0..255, to the 2048 features before the logits. The extractor itself would resize and
        take bytes; its blocks are called here in its own order."""

        def __init__(self) -> None:
            super().__init__()
            self.net = FeatureExtractorInceptionV3("inception", ["2048"])

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = (images - 128) / 128
            for name in BLOCKS:
                x = getattr(self.net, name)(x)
            return torch.flatten(x, 1)

    example = torch.zeros(1, 3, SIDE, SIDE)
    axes = {"images": {0: "N"}, "features": {0: "N"}}
    options = {"input_names": ["images"], "output_names": ["features"], "dynamic_axes": axes, "dynamo": False}
    torch.onnx.export(Pooled().eval(), (example,), arguments.out, **options)
    model = onnx.load(arguments.out)
    onnx.helper.set_model_props(model, METADATA)
    onnx.save(model, arguments.out)
    print(arguments.out)
    return 0


BLOCKS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool"),
)


if __name__ == "__main__":
    sys.exit(main())
