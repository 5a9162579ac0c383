"""Results on disk are whole or as they were."""

import os
import stat

import pytest

from fastknn._utils.files import check_writable, kind_of_file, written_whole


def test_a_new_file(tmp_path):
    with written_whole(tmp_path / "new.txt") as part:
        assert part.suffix == ".txt"
        assert not (tmp_path / "new.txt").exists()
        part.write_text("all of it")
    assert os.listdir(tmp_path) == ["new.txt"]
    assert (tmp_path / "new.txt").read_text() == "all of it"
    plain = tmp_path / "plain.txt"
    plain.touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (plain, tmp_path / "new.txt")}
    assert len(modes) == 1, "readable by whom a new file is"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_an_error_all_is_as_before(tmp_path, error):
    target = tmp_path / "old.txt"
    target.write_text("before")

    def fail_halfway():
        with written_whole(target) as part:
            part.write_text("half of")
            raise error

    with pytest.raises(error):
        fail_halfway()
    assert os.listdir(tmp_path) == ["old.txt"]
    assert target.read_text() == "before"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real.txt").write_text("before")
    (tmp_path / "link.txt").symlink_to(tmp_path / "folder" / "real.txt")
    with written_whole(tmp_path / "link.txt") as part:
        part.write_text("after")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "folder" / "real.txt").read_text() == "after"


def test_what_is_not_a_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with written_whole(pipe) as part:
        assert part == pipe
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_cannot_be_written(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="there is no folder"),
        written_whole(tmp_path / "no/x"),
    ):
        pass
    check_writable(None, "--output")
    check_writable(tmp_path / "new.txt", "--output")
    with pytest.raises(ValueError, match="--output: there is no folder"):
        check_writable(tmp_path / "none" / "new.txt", "--output")
    with pytest.raises(ValueError, match="--plot: cannot write"):
        check_writable(tmp_path, "--plot")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "an empty file"),
        (b" \n\n", "a file of blanks"),
        ("größer,ü".encode()[:-1], "text that begins with 'größer,'"),
        ("größer,ü".encode("latin1"), "bytes of another kind, the first of them 0x6772f6df"),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", "text that begins with 'a,b'"),
        (b"x" * 500, f"text that begins with '{'x' * 40}'"),
        (b"\n <HTML><body>", "a web page"),
        (b"\x80\x04\x95", "a pickle"),
        (b"\x80\x09", "bytes of another kind, the first of them 0x8009"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file (.mat)"),
        (b"name" + bytes(253) + b"ustar\x0000", "a tar archive"),
        (b"\0", "a file of zeros"),
    ],
)
def test_kinds_of_files(head, kind):
    assert kind_of_file(head) == kind
