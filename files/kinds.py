"""What a file is that stands where another is expected, told by its first bytes."""

# Patterns for `re.match`, and what is to be done.
STAND_INS = {
    rb"version https://git-lfs": "a Git LFS pointer: fetch the file with git lfs pull",
    rb"(?i:\s*<(!doctype html|html))": "a web page: download the file itself",
    rb"\x1f\x8b|BZh|\xfd7z|7z\xbc\xaf|Rar!": "a packed file: unpack it first",
}
