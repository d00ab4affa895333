"""The peer of audit_dataset.py: imagededup's perceptual hashes, and those nearby.

python benchmarks/peer_duplicates.py FOLDER
"""

import sys

from imagededup.methods import PHash


def main() -> None:
    """Print how many images have others that look like them."""
    hasher = PHash(verbose=False)
    encodings = hasher.encode_images(sys.argv[1], recursive=True)
    found = hasher.find_duplicates(encoding_map=encodings)
    print(f"{sum(map(bool, found.values()))} of {len(found)} have duplicates")


if __name__ == "__main__":
    main()
