"""Damaged and hostile input works, or is refused with one readable line."""

import codecs
import io
import random
import resource
import struct
import sys
from unittest.mock import patch

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import headscope
from headscope.checkpoint.export import export
from headscope.config.composed import known_keys, plain
from headscope.config.keys import TrainConfig
from headscope.config.overrides import as_text, as_typed, changes, is_group, may_change
from headscope.config.schema import parse
from headscope.data.textfiles import TextFiles
from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, WordTokenizer
from headscope.errors import UserError
from headscope.run.folder import RunFolder
from headscope.shell import make_streams_safe
from headscope.sweep.resume import replace_overrides
from tests.config.test_schema import composed
from tests.inside import train
from tests.test_full_disk import TINY

quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def mutated(content, rng):
    """Returns content with random damage: bytes are changed, or a piece is lost, doubled or cut off."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(content)), rng.choice((1, 2, 8, 100))
        kind = rng.randrange(4)
        if kind == 0:
            content[at : at + length] = rng.randbytes(length)
        elif kind == 1:
            del content[at : at + length]
        elif kind == 2:
            content[at:at] = content[at : at + length]
        else:
            del content[max(at, 1) :]
    return bytes(content)


@pytest.mark.slow
def test_five_hundred_mutated_checkpoints(toy_run, tmp_path):
    best = toy_run[0] / "checkpoints" / "best.ckpt"
    whole = {"ckpt": best.read_bytes(), "part4": export(best, "part4"), "safetensors": export(best, "safetensors")}
    rng, loaded = random.Random(1), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(500):
        path = tmp_path / "mutated"
        path.write_bytes(mutated(whole[rng.choice(list(whole))], rng))
        try:
            model, tokenizer, _ = headscope.load(path)
            model(torch.zeros(1, 1, dtype=torch.long))
            loaded += bool(tokenizer.vocab)
        except UserError as e:
            assert "\n" not in str(e), i
    assert loaded < 250
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # in kB


def test_metadata_that_asks_for_too_much_is_refused(tmp_path):
    """Tests a header that announces terabytes, and a card that describes a model of terabytes."""
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 2**40) + b'{"x":1}' * 10)
    with pytest.raises(UserError):
        headscope.load(tmp_path / "a.safetensors")
    card = {
        "format": 1,
        "model": {"class": "TransformerLM", "vocab_size": 10**9, "d_model": 10**5, "n_heads": 1, "n_layers": 1}
        | {"block_size": 8, "dropout": 0.0, "position": {"class": "Rotary"}},
        "tokenizer": {"class": "CharTokenizer", "vocab": ["a"]},
        "about": {},
    }
    torch.save({"headscope": card, "state_dict": {}}, tmp_path / "b.ckpt")
    with pytest.raises(UserError, match=r"b\.ckpt"):
        headscope.load(tmp_path / "b.ckpt")


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
values = st.recursive(
    scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3), max_leaves=5
)
KEYS = ("model.d_model", "model.dropout", "model", "position", "optimizer.betas", "optimizer.lr", "trainer.devices")
KEYS += ("trainer.precision", "trainer", "callbacks", "data", "seed", "task", "logger", "schedule.final", "name")


@quick
@given(st.sampled_from(KEYS), values)
def test_any_value_of_a_key_is_taken_or_refused(key, value):
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    cfg = composed()
    OmegaConf.set_struct(cfg, False)
    try:
        OmegaConf.update(cfg, key, value, merge=False)
        parse(plain(cfg), TrainConfig)
    except UserError as e:
        assert "\n" not in str(e).replace(str(value), "")
    except (OmegaConfBaseException, UnicodeEncodeError):
        pass  # the command line reports these in its own line; surrogates cannot be typed


BYTES = BytePairTokenizer.of(["abc"], 256)
PAIRS = BytePairTokenizer.of(["日本語 é \N{GRINNING FACE} to be or not to be " * 9], 280)


@quick
@given(st.text() | st.text(st.characters(categories=["Cs", "Ll"])))
def test_any_prompt_is_read_or_refused(text):
    for tokenizer in (CharTokenizer(vocab=list("abc \n")), WordTokenizer(vocab=["a", "b", "\n"]), BYTES):
        try:
            ids = tokenizer.encode(text)
        except UserError as e:
            assert "unknown" in str(e)
            assert str(e).isprintable()
            continue
        if not isinstance(tokenizer, WordTokenizer):
            assert tokenizer.decode(ids.tolist()) == text


ids = st.lists(st.integers(0, 10**6), max_size=60)
strange = st.text(max_size=4) | st.sampled_from(["\n", " ", "", " \n", "<eos>", "\ufffd"])
vocabularies = st.lists(strange, min_size=1, max_size=8, unique=True)
tokenizers = st.one_of(
    st.just(PAIRS),
    st.just(BYTES),
    st.builds(lambda vocab: WordTokenizer(vocab=vocab), vocabularies),
    st.builds(lambda vocab: CharTokenizer(vocab=vocab), st.lists(st.characters(), min_size=1, max_size=8, unique=True)),
)


@quick
@given(tokenizers, ids)
def test_any_ids_streamed_are_the_ids_decoded(tokenizer, ids):
    ids = [i % len(tokenizer) for i in ids]
    given_out = []
    pieces = []
    for piece in tokenizer.stream(given_out.append(i) or i for i in ids):
        pieces.append(piece)
        assert len(given_out) == min(len(pieces), len(ids)), "each piece comes before the next id is asked for"
    assert "".join(pieces) == tokenizer.decode(ids)
    if isinstance(tokenizer, BytePairTokenizer):
        assert tokenizer.decode(ids) == b"".join(tokenizer._bytes[i] for i in ids).decode("utf-8", "replace")
        assert tokenizer.decode(tokenizer.encode(tokenizer.decode(ids))) == tokenizer.decode(ids)


def taken_or_refused(path, tokenizer):
    """Loads a text as a corpus; returns None if it is refused with one printable line."""
    try:
        corpus = TextFiles(str(path), tokenizer).load(4)
    except UserError as e:
        assert str(e).isprintable()
        return None
    x, y = corpus.train.cut(torch.tensor([0]), 0)
    assert x.shape == y.shape == (1, 4)
    return corpus


@quick
@given(st.binary(max_size=400), st.sampled_from(("char", "word", "bpe")))
def test_any_bytes_are_a_corpus_or_refused(tmp_path_factory, content, tokenizer):
    path = tmp_path_factory.mktemp("corpus") / "a.txt"
    path.write_bytes(content)
    corpus = taken_or_refused(path, tokenizer)
    assert corpus is None or b"\0" not in content or content.startswith((codecs.BOM_UTF16, codecs.BOM_UTF16_BE))


odd_names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]) | st.sampled_from(" \n.'$\udcff"),
    min_size=1,
    max_size=12,
)
names = st.sampled_from([".git", ".a.txt", "a.txt", "b", "more"]) | odd_names.filter(lambda n: n not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=3)
contents = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60).map(str.encode),
    st.sampled_from([b"", b"to be or not to be " * 9, b"\x89PNG\r\n\x1a\n\0", "café".encode("utf-16"), b"%PDF-1.4"]),
)


@quick
@given(st.lists(st.tuples(paths, contents), max_size=6), st.sampled_from(("char", "word", "bpe")))
def test_any_folder_is_a_corpus_of_its_visible_texts_or_refused(tmp_path_factory, files, tokenizer):
    folder = tmp_path_factory.mktemp(".corpus")
    written = {}
    for path, content in files:
        place = folder.joinpath(*path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        except OSError:  # a name is in use as a folder, or too long in bytes
            continue
        if not any(part.startswith(".") for part in path):
            written[place] = content
    try:
        text = TextFiles(str(folder), tokenizer).read()
    except UserError as e:
        assert str(e).isprintable()
        assert all(content[:4] in (b"\x89PNG", b"%PDF") for content in written.values())
        return
    kept = [written[place] for place in sorted(written) if written[place][:4] not in (b"\x89PNG", b"%PDF")]
    marked = codecs.BOM_UTF16
    assert text == "\n".join(c.decode("utf-16" if c.startswith(marked) else "utf-8-sig") for c in kept)
    taken_or_refused(folder, tokenizer)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbf" + b"abc " * 50, "abc " * 50),
        (b"a\r\nb" * 50, "a\r\nb" * 50),
        (b"x" * 10_000_000, "x" * 10_000_000),
        (b"\x1b[1mbold\x1b[0m\f" * 50, "\x1b[1mbold\x1b[0m\f" * 50),
    ],
    ids=["byte-order mark", "CRLF", "a line of 10 MB", "escapes of a terminal"],
)
def test_odd_text_is_kept_as_it_is(tmp_path, content, text):
    (tmp_path / "a.txt").write_bytes(content)
    source = TextFiles(str(tmp_path / "a.txt"))
    assert source.read() == text
    assert source.load(8).tokens == len(text)


@pytest.mark.parametrize("content", [b"a\0b\0" * 50, b"\0a\0b" * 50, b"abc\0" * 50])
def test_text_with_nul_is_not_kept(tmp_path, content):
    """Text has no NUL, so these bytes are UTF-16 without a byte-order mark, or binary data."""
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match="is not text: it has NUL characters; use a text file, or save it as UTF-8"):
        TextFiles(str(tmp_path / "a.txt")).load(8)


ENCODINGS = ("utf-8", "ascii", "latin-1", "cp1252", "cp437", "koi8-r", "shift_jis", "gb18030", "utf-16", "iso8859-15")


@quick
@given(st.text(), st.sampled_from(ENCODINGS), st.booleans())
def test_any_text_is_printed_in_any_encoding(tmp_path_factory, text, encoding, outlive):
    path = tmp_path_factory.mktemp("stream") / "out"
    with (
        path.open("wb") as file,
        io.TextIOWrapper(file, encoding=encoding) as stream,
        patch.object(sys, "stdout", stream),
        patch.object(sys, "stderr", stream),
    ):
        make_streams_safe(outlive)
        print(text)
        print("after")
        sys.stdout.flush()
    assert path.read_bytes().decode(encoding).endswith("after\n")
    if encoding == "utf-8" and not any(0xD800 <= ord(c) < 0xE000 for c in text):
        assert path.read_bytes() == f"{text}\nafter\n".encode()


@quick
@given(odd_names.filter(lambda n: n not in (".", "..") and "${" not in n and not n.startswith("~")))
def test_any_name_of_a_file_is_taken_as_typed(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("named")
    try:
        (folder / name).write_text("to be or not to be " * 9)
    except OSError:  # too long in bytes
        return
    for key in ("data.path", "checkpoint", "hydra.run.dir"):
        (typed,) = as_text([f"{key}={folder / name}"])
        assert OverridesParser.create().parse_override(typed).value() == str(folder / name)
    assert taken_or_refused(folder / name, "char") is not None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["null", "0.1", "1e-3", "true"])
overrides = st.lists(st.tuples(st.sampled_from([*KEYS, "+extra", "~position", "position"]), texts), max_size=5)


@quick
@given(st.lists(overrides, min_size=1, max_size=4))
def test_over_any_resumes_each_key_has_the_value_typed_last(generations):
    recorded, wanted = [], {}
    for typed in generations:
        recorded = replace_overrides(recorded, [f"{key}={value}" for key, value in typed])
        wanted |= {key.lstrip("+~"): value for key, value in typed}
    last = {o.partition("=")[0].lstrip("+~"): o.partition("=")[2] for o in recorded}
    assert last == wanted
    assert replace_overrides(recorded, []) == recorded


CONFIG = as_typed(plain(composed()))


@quick
@given(st.dictionaries(st.sampled_from(sorted(CONFIG)), texts, max_size=5))
def test_any_change_at_a_resume_is_recorded_or_refused(changed):
    different = {k: (CONFIG[k], v) for k, v in changed.items() if CONFIG[k] != v and k != "paths.run_dir"}
    try:
        found = changes(CONFIG, CONFIG | changed, list(changed))
    except UserError as e:
        named = str(e).split()[0]
        assert named in different
        assert not may_change(named)
        return
    assert found.keys() == different.keys()
    assert all(found[k] == both for k, both in different.items() if not k.endswith("_target_"))
    assert all(may_change(k) for k in found)


#: Groups whose option a resume may change, with their options and some keys of these.
CHOICES = {
    "callbacks": ("none", "default", "early_stopping"),
    "schedule": ("constant", "cosine", "linear", "wsd"),
    "logger": ("none", "csv", "[csv,tensorboard]"),
    "trainer": ("auto", "cpu"),
}
SETTINGS = (
    *("callbacks.early_stopping.patience=3", "callbacks.samples=null", "~callbacks.samples", "callbacks.progress=null"),
    *("schedule.warmup_steps=2", "schedule.decay=0.2", "schedule.final=0.1", "+schedule.final=0.2", "~schedule.final"),
    *("logger.csv.folder=x", "~logger.csv", "trainer.threads=1", "+trainer.max_time=00:01:00:00", "~trainer.max_time"),
)
options = st.sampled_from([f"{group}={option}" for group, found in CHOICES.items() for option in found])
words = st.lists(options | st.sampled_from(SETTINGS), max_size=4, unique_by=lambda o: o.partition("=")[0].lstrip("+~"))


def keys_of(overrides):
    """The keys of a run with these overrides, or None if Hydra refuses them."""
    try:
        return known_keys("train", overrides)
    except HydraException:
        return None


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(words, words)
def test_an_option_typed_beside_resume_is_composed_whatever_was_recorded(recorded, typed):
    """What a new run accepts by itself, a resume accepts over any recorded overrides, and each key has that value."""
    groups = [o for o in typed if is_group(o.partition("=")[0])]
    alone = keys_of(groups)
    assume(keys_of(recorded) is not None)
    merged = replace_overrides(recorded, groups)
    found = keys_of(merged)
    assert found is not None, merged
    assert replace_overrides(merged, groups) == merged
    set_before = {o.partition("=")[0].lstrip("+~") for o in recorded}
    for key, value in alone.items():
        of_a_typed_group = any(key.startswith(f"{o.partition('=')[0]}.") for o in groups)
        if of_a_typed_group and not any(f"{key}.".startswith(f"{k}.") for k in set_before - set(CHOICES)):
            assert found[key] == value


#: The first key would wait for other machines, and the second would compile for minutes.
LEFT_OUT = {"trainer.num_nodes", "trainer.compile"}


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(sorted(set(CONFIG) - LEFT_OUT)), texts, min_size=1, max_size=2))
def test_any_overrides_beside_resume_are_used_or_refused(tmp_path_factory, typed):
    folder = tmp_path_factory.mktemp("resumed") / "run"
    code, said = train(*TINY, "trainer.max_steps=1", f"hydra.run.dir={folder}")
    assert code == 0, said
    given_out = [f"{key}={value}" for key, value in typed.items()]
    code, said = train(f"resume={folder}", *given_out, "trainer.max_steps=2", cwd=folder.parent)
    assert code in (0, 2, 3), said
    run = RunFolder(folder)
    assert run.summary()["steps"] == (2 if code == 0 else run.summary()["steps"])
    assert code == 0 or said.splitlines()[-1].startswith("error: ") or "\nerror: " in said
