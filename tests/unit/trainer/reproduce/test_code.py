"""The digest of a tree of files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from services.kit.errors import InvalidArgument
from services.trainer.reproduce.code import read_code

ENTRY = "digits.train:main"


NAMES = ("a.py", "digits/train.py", "digits/net.py")


def bundle(root: Path, names: tuple[str, ...] = NAMES) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return root


def test_order_modes_times_and_what_python_compiled_do_not_matter(tmp_path: Path) -> None:
    one = bundle(tmp_path / "one")
    other = bundle(tmp_path / "other", ("digits/net.py", "digits/train.py", "a.py"))
    (other / "a.py").chmod(0o755)
    os.utime(other / "digits/net.py", (1, 1))
    bundle(other, ("digits/__pycache__/net.cpython-311.pyc", "old.pyc"))
    (other / "empty").mkdir()
    assert read_code(one, ENTRY) == read_code(other, ENTRY)
    assert read_code(one, ENTRY).digest == read_code(other, "digits.train:again").digest


def test_content_names_and_places_matter(tmp_path: Path) -> None:
    digests = {read_code(bundle(tmp_path / "one"), ENTRY).digest}
    changed = bundle(tmp_path / "changed")
    (changed / "a.py").write_text("# a.py\n ")
    renamed = bundle(tmp_path / "renamed")
    (renamed / "a.py").rename(renamed / "b.py")
    swapped = bundle(tmp_path / "swapped")
    (swapped / "a.py").write_text("# digits/net.py\n")
    (swapped / "digits/net.py").write_text("# a.py\n")
    digests |= {read_code(root, ENTRY).digest for root in (changed, renamed, swapped)}
    assert len(digests) == 4


def test_the_digest_is_over_the_sorted_paths_and_their_digests(tmp_path: Path) -> None:
    found = read_code(bundle(tmp_path), ENTRY)
    assert [file.path for file in found.files] == ["a.py", "digits/net.py", "digits/train.py"]
    digests = {name: sha256(f"# {name}\n") for name in NAMES}
    files = ",".join(f'["{name}","{digests[name]}",""]' for name in sorted(NAMES))
    assert found.digest == sha256(f"[{files}]")


def sha256(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_a_link_within_the_tree_is_what_it_points_to(tmp_path: Path) -> None:
    one, other = bundle(tmp_path / "one"), bundle(tmp_path / "other")
    (one / "link.py").symlink_to("digits/net.py")
    (one / "folder").symlink_to("digits")
    (other / "link.py").symlink_to(other / "digits/net.py")
    (other / "folder").symlink_to("./digits/")
    assert read_code(one, ENTRY) == read_code(other, ENTRY)
    (other / "link.py").unlink()
    (other / "link.py").symlink_to("a.py")
    assert read_code(one, ENTRY).digest != read_code(other, ENTRY).digest


@pytest.mark.parametrize(
    ("target", "why"),
    [("../secret.py", "out of the bundle"), ("nowhere.py", "leads nowhere"), ("link.py", "leads nowhere"),
     ("..", "out of the bundle")],
)  # fmt: skip
def test_other_links_are_refused_by_name(tmp_path: Path, target: str, why: str) -> None:
    (tmp_path / "secret.py").touch()
    root = bundle(tmp_path / "bundle")
    (root / "link.py").symlink_to(target)
    with pytest.raises(InvalidArgument, match=f"link.py is a link .*{why}"):
        read_code(root, ENTRY)


def test_a_root_that_is_a_link_is_fine(tmp_path: Path) -> None:
    root = bundle(tmp_path / "bundle")
    (root / "link.py").symlink_to("a.py")
    (tmp_path / "other").symlink_to("bundle")
    assert read_code(tmp_path / "other", ENTRY) == read_code(root, ENTRY)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="has no files"):
        read_code(tmp_path, ENTRY)
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_code(tmp_path / "absent", ENTRY)
    os.mkfifo(bundle(tmp_path) / "pipe")
    with pytest.raises(InvalidArgument, match="pipe is neither a file nor a folder"):
        read_code(tmp_path, ENTRY)
    (tmp_path / "pipe").unlink()
    with pytest.raises(InvalidArgument, match="main is no entry"):
        read_code(tmp_path, "main")
