"""Images for a newcomer: `photos.py REPOSITORY FOLDER` writes `photos/CLASS/*.png`, `test/CLASS/*.png`, `labels.txt`
and `photo.jpg`, one of the photos."""

import shutil
import sys
from pathlib import Path

from PIL import Image

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
RECORD = 1 + 3 * 32 * 32


def main(repository: Path, folder: Path) -> None:
    data = (repository / "converter/assets/calibration.bin").read_bytes()
    assert len(data) % RECORD == 0
    for number in range(len(data) // RECORD):
        record = data[number * RECORD : (number + 1) * RECORD]
        planes = [Image.frombytes("L", (32, 32), record[1 + 1024 * c : 1 + 1024 * (c + 1)]) for c in range(3)]
        to = folder / "photos" / CLASSES[record[0]]
        to.mkdir(parents=True, exist_ok=True)
        Image.merge("RGB", planes).save(to / f"{number:03}.png")
    for image in sorted((repository / "tests/pictures").glob("*.png")):
        to = folder / "test" / image.stem.rsplit("_", 1)[0]
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, to)
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    first = next(iter(sorted((folder / "photos" / "ship").iterdir())))
    Image.open(first).save(folder / "photo.jpg", quality=95)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
