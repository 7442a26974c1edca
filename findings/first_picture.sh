#!/usr/bin/env bash
# datasets decodes the first picture of a row twice where a column is a list of pictures.
#
# Versions: datasets 5.2.0, Pillow 13.0.0, NumPy 2.4.6, Python 3.11 or 3.12.
#
# A row of a column `List(Image())` with n pictures costs n + 1 decodings, whether it is read alone, in a slice, or
# streamed, so the usual layout of one picture in a list (`images`: TRL's name for it) costs twice what a column
# `Image()` does. `decode_nested_example` decodes the first element to see whether decoding changes it, throws the
# result away, and starts again. A list of structs that hold a picture each is not looked at in this way, and costs n.
#
# Output seen:
#   image: 1 decoding for 1 picture
#   images: 2 decodings for 1 picture
#   images: 4 decodings for 3 pictures
#   images, a slice of 2 rows: 6 decodings for 4 pictures
#   images, streamed, 2 rows: 6 decodings for 4 pictures
#   list of structs: 3 decodings for 3 pictures
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
cat > "$folder/count.py" <<'PYTHON'
import io

from datasets import Dataset, Features, Image, List
from PIL import Image as PILImage

decode, calls = Image.decode_example, []


def counted(self, value, **options):
    calls.append(value)
    return decode(self, value, **options)


Image.decode_example = counted


def picture(shade):
    buffer = io.BytesIO()
    PILImage.new("RGB", (32, 32), (shade, 0, 0)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


found = []


def tell(name, pictures, read):
    calls.clear()
    read()
    found.append(len(calls) - pictures)
    print(f"{name}: {len(calls)} decoding{'s' * (len(calls) > 1)} for {pictures} picture{'s' * (pictures > 1)}")


single = Dataset.from_dict({"image": [picture(1)]}, features=Features({"image": Image()}))
several = Dataset.from_dict(
    {"images": [[picture(1)], [picture(2), picture(3), picture(4)]]}, features=Features({"images": List(Image())})
)
structs = Dataset.from_dict(
    {"parts": [[{"image": picture(shade)} for shade in (1, 2, 3)]]},
    features=Features({"parts": List({"image": Image()})}),
)
tell("image", 1, lambda: single[0])
tell("images", 1, lambda: several[0])
tell("images", 3, lambda: several[1])
tell("images, a slice of 2 rows", 4, lambda: several[:2])
tell("images, streamed, 2 rows", 4, lambda: list(several.to_iterable_dataset()))
tell("list of structs", 3, lambda: structs[0])
assert found == [0, 1, 1, 2, 2, 0], found
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" "$folder/count.py"
