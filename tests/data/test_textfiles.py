"""Which files are read, and how the others are reported."""

import os
import socket

import pytest

from headscope.data import textfiles
from headscope.data.textfiles import TextFiles
from headscope.errors import UserError

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.fixture
def folder(tmp_path):
    """Returns a folder with two texts."""
    (tmp_path / "text" / "more").mkdir(parents=True)
    (tmp_path / "text" / "b.txt").write_text("second " * 20)
    (tmp_path / "text" / "more" / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"third " * 20)
    return tmp_path / "text"


@pytest.fixture
def logged(caplog):
    """Returns the line that was logged about a folder."""
    caplog.set_level("INFO")

    def line():
        (record,) = caplog.records
        return record.getMessage()

    return line


BOTH = "second " * 20 + "\n" + "third " * 20


def test_a_folder_is_joined_in_the_order_of_its_paths(folder, logged):
    (folder / "a.txt").write_text("first ")
    (folder / "empty.txt").write_text("")
    assert TextFiles(str(folder)).read() == "first \n" + BOTH.replace("\n", "\n\n")
    assert logged() == f"{folder}: reading 4 files"


def test_checkpoints_of_a_notebook_are_not_read_twice(tmp_path):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    for name in ("a.txt", ".ipynb_checkpoints/a-checkpoint.txt"):
        (tmp_path / name).write_text("x" * 3000)
    assert TextFiles(str(tmp_path)).load(8).tokens == 3000


@pytest.mark.parametrize("hidden", [".git/objects/pack", ".a.txt.swp", "more/.venv/lib/b.txt", ".DS_Store"])
@pytest.mark.parametrize("content", [b"hidden text", b"\xff\xfe\0", "é".encode("latin1"), PNG])
def test_what_is_hidden_below_the_folder_is_left_out(folder, logged, hidden, content):
    (folder / hidden).parent.mkdir(parents=True, exist_ok=True)
    (folder / hidden).write_bytes(content)
    assert TextFiles(str(folder)).read() == BOTH
    top = next(part for part in hidden.split("/") if part.startswith("."))
    assert f"reading 2 files; left out 1 hidden ({hidden[: hidden.index(top)]}{top})" in logged()


@pytest.mark.parametrize("where", [".text", ".hidden/text", "visible/.hidden/.text"])
def test_a_folder_that_is_itself_hidden_is_read(folder, tmp_path, where):
    (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
    folder.rename(tmp_path / where)
    assert TextFiles(str(tmp_path / where)).read() == BOTH


def test_what_is_not_text_is_left_out_and_named(folder, logged):
    for name in ("p.png", "more/q.png", "r.png", "s.png", "t.png"):
        (folder / name).write_bytes(PNG)
    assert TextFiles(str(folder)).read() == BOTH
    assert "reading 2 files; left out 5 not text (more/q.png, p.png, r.png, …)" in logged()


def test_a_text_that_needs_converting_is_not_left_out_in_silence(folder):
    (folder / "c.txt").write_bytes("café".encode("latin1"))
    with pytest.raises(UserError, match=r"c\.txt is not UTF-8 text .* iconv"):
        TextFiles(str(folder)).load(8)


@pytest.mark.parametrize("name", ["p.png", "more", ".hidden"])
def test_a_folder_without_text_is_an_error(tmp_path, name):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / name).write_bytes(PNG) if name != "more" else (tmp_path / "f" / name).mkdir()
    with pytest.raises(UserError, match="is a folder without text files") as error:
        TextFiles(str(tmp_path / "f")).load(8)
    assert (name in str(error.value)) == (name != "more")


def test_links_are_followed_and_loops_end(folder, tmp_path, logged):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.txt").write_text("fourth")
    (folder / "z-elsewhere").symlink_to(tmp_path / "elsewhere")
    (folder / "up").symlink_to(folder)
    (folder / "more" / "up").symlink_to(folder)
    (folder / "z-elsewhere" / "back").symlink_to(folder)
    (folder / "itself").symlink_to(folder / "itself")
    assert TextFiles(str(folder)).read() == BOTH + "\nfourth"
    assert "left out 1 unreadable (itself)" in logged()


def test_what_cannot_be_read_is_left_out_and_named(folder, logged, monkeypatch):
    os.mkfifo(folder / "pipe")  # opening a named pipe would block
    (folder / "gone").symlink_to(folder / "nowhere")
    (folder / "memory").symlink_to("/proc/self/mem")  # even root cannot read the first byte of this file
    monkeypatch.chdir(folder)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("sock")
        assert TextFiles(str(folder)).read() == BOTH
    assert "left out 4 unreadable (gone, memory, pipe, …)" in logged()


def test_thousands_of_files(tmp_path, logged):
    for i in range(2000):
        (tmp_path / f"{i:04}.txt").write_text(f"{i:04}")
    assert len(TextFiles(str(tmp_path)).read()) == 2000 * 5 - 1
    assert "reading 2000 files" in logged().replace(",", "")


@pytest.mark.parametrize("name", ["a\nb.txt", "ünï cødé.txt", "'quoted' \"twice\".txt", "\udcff.txt", "$(x);#.txt"])
def test_odd_names(tmp_path, name, logged):
    (tmp_path / name).write_text("x" * 100)
    (tmp_path / f"bad {name}").write_bytes(PNG)
    for path in (tmp_path, tmp_path / name):
        corpus = TextFiles(str(path)).load(4)
        assert corpus.tokens == 100
        assert corpus.name.isprintable()
    assert logged().isprintable()
    with pytest.raises(UserError, match="is not text") as error:
        TextFiles(str(tmp_path / f"bad {name}")).load(4)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("path", ["/nonexistent.txt", "/dev/null/x", "x" * 5000, "", "a\nb"])
def test_no_such_file(path):
    with pytest.raises(UserError, match=r"data.path\b.*(use|set it to) a text file or a folder of text files") as error:
        TextFiles(path).load(8)
    assert "\n" not in str(error.value)


def test_a_pipe_that_is_asked_for_is_read(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, b"to be or not to be " * 20)
    os.close(writer)
    assert TextFiles(f"/dev/fd/{reader}").load(4).tokens == 380
    os.close(reader)


def test_our_own_arrays_are_no_text(folder, monkeypatch):
    monkeypatch.setattr(textfiles, "LARGE", 0)
    for _ in range(2):
        corpus = TextFiles(str(folder), data_dir=str(folder)).load(8)
        assert corpus.tokens == len(BOTH)
    assert len(list((folder / "packed").glob("*.json"))) == 1


def test_the_same_files_are_read_from_disk_and_from_memory(folder, monkeypatch):
    (folder / "c.txt").write_text("fourth ☃\n" * 30, encoding="utf-16")
    (folder / ".hidden").write_text("hidden")
    (folder / "p.png").write_bytes(PNG)
    memory = TextFiles(str(folder), data_dir=str(folder)).load(8)
    monkeypatch.setattr(textfiles, "LARGE", 0)
    disk = TextFiles(str(folder), data_dir=str(folder)).load(8)
    assert (disk.sha256, disk.tokens) == (memory.sha256, memory.tokens)
