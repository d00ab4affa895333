"""Judge pictures that are crops to one face: python example.py PICTURE...

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
if not sys.argv[1:]:
    print("usage: python example.py PICTURE... (crops to one face)", file=sys.stderr)
    sys.exit(2)
KNOWN = json.loads((FOLDER / "detector.json").read_text(encoding="utf-8"))["record"]
SIZE = (KNOWN["preprocessing"]["size"],) * 2
FAKE_FROM = KNOWN.get("threshold", 0.5)
REAL_BELOW = KNOWN.get("real_below", FAKE_FROM)

session = onnxruntime.InferenceSession(FOLDER / "detector.onnx")
print("note: each picture is taken for a crop to one face", file=sys.stderr)
num_failures = 0
for name in sys.argv[1:]:
    try:
        image = ImageOps.exif_transpose(Image.open(name)).convert("RGB")
    except Exception as error:  # as many kinds as there are damaged files
        print(f"cannot read the picture {name}: {error}", file=sys.stderr)
        num_failures += 1
        continue
    pixels = np.asarray(image.resize(SIZE, Image.Resampling.BICUBIC))
    (fake_score,) = session.run(["fake_score"], {"pixels": pixels[None]})[0].tolist()
    verdict = "fake" if fake_score >= FAKE_FROM else "inconclusive"
    verdict = "real" if fake_score < REAL_BELOW else verdict
    print(f"{verdict}  P(fake)={fake_score:.3f}  {name}")
sys.exit(num_failures > 0)
