"""Judge pictures that are crops to a face: python example.py PICTURE...

It needs detector.onnx and detector.json beside it, and pip install onnxruntime pillow.
It does not look for faces, tell unlike pictures or try harmless versions: predict.py.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FOLDER = Path(__file__).parent
KNOWN = json.loads((FOLDER / "detector.json").read_text(encoding="utf-8"))["record"]
SIZE = (KNOWN["preprocessing"]["size"],) * 2
FAKE_FROM = KNOWN.get("threshold", 0.5)
REAL_BELOW = KNOWN.get("real_below", FAKE_FROM)

session = onnxruntime.InferenceSession(FOLDER / "detector.onnx")
for name in sys.argv[1:]:
    image = ImageOps.exif_transpose(Image.open(name)).convert("RGB")
    pixels = np.asarray(image.resize(SIZE, Image.Resampling.BICUBIC))
    (fake_score,) = session.run(["fake_score"], {"pixels": pixels[None]})[0].tolist()
    verdict = "fake" if fake_score >= FAKE_FROM else "inconclusive"
    verdict = "real" if fake_score < REAL_BELOW else verdict
    print(f"{verdict}  P(fake)={fake_score:.3f}  {name}")
