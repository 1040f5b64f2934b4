"""The text that every Python brings along: prose, each paragraph once, divided without overlap. And
sentences as symbols: there and back, in any script, by length.
"""

import doctest
import gzip
import hashlib
import importlib.util
import zlib

import pytest
import torch
import torch.nn.functional as F
from test_source import Server

from dgmcourse.data import source, text
from dgmcourse.data.text import Sentences, Vocabulary
from dgmcourse.densities import END, UNKNOWN, until_end
from dgmcourse.models.sentence_vae import LanguageModel, RecurrentNet, SentenceVAE
from dgmcourse.train import fit


@pytest.fixture
def manual(monkeypatch):
    monkeypatch.setattr(source, "_said", set())
    return text.python_manual()


def test_the_parts_do_not_overlap_and_are_what_the_alphabet_says(manual, capsys):
    train, test = manual.train.splitlines(), manual.test.splitlines()
    assert len(set(train + test)) == len(train) + len(test), "a paragraph is there twice"
    assert set(manual.train + manual.test) == set(manual.alphabet) and manual.alphabet.isascii()
    assert 0.08 < len(manual.test) / len(manual.train + manual.test) < 0.18
    assert len(manual.train) > 150_000


def test_it_says_once_what_it_is_and_whose(monkeypatch, capsys):
    monkeypatch.setattr(source, "_said", set())
    text.python_manual()
    text.python_manual()
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "PSF licence" in said


def test_it_is_prose(manual):
    assert "\n\n" not in manual.train and "::=" not in manual.train and ">>>" not in manual.train
    letters = sum(c.isalpha() or c == " " for c in manual.train)
    assert letters > 0.9 * len(manual.train)
    assert manual.train.count("expression") > 80


def test_paragraphs_keeps_running_text_only():
    topic = """The "if" statement
******************

The "if" statement is used for conditional
execution, and it selects exactly one of the suites.

   if_stmt ::= "if" assignment_expression ":" suite and more words than twelve here so that it counts

>>> print(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)

* An item of a list, with words enough to be kept as a paragraph of its own, caf\u00e9.

Too short to keep."""
    assert text.paragraphs(topic) == [
        (
            'The "if" statement is used for conditional execution, and it selects exactly one of'
            " the suites."
        ),
        "An item of a list, with words enough to be kept as a paragraph of its own, caf.",
    ]


def test_a_python_without_its_documentation_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="reinstall it"):
        text.python_manual()


# ---- vocabularies and sentences

SAID = ["A dog runs.", "A dog, a dog and two cats sleep.", "Cats sleep."]


def test_words_are_numbered_by_frequency_and_come_back():
    v = Vocabulary.of(SAID)
    assert v.words == (".", "a", "dog", "cats", "sleep", ",", "and", "runs", "two") and len(v) == 11
    x = v.encode(SAID)
    assert x.dtype == torch.int64 and x.shape == (3, 11) and x[0].tolist()[-7:] == [END] * 7
    assert v.decode(x) == [s.lower() for s in SAID]
    few = Vocabulary.of(SAID, 3)
    assert few.words == (".", "a", "dog")
    assert few.unknown("A cat runs") == ["cat", "runs"] and len(few) == 5
    assert few.decode(few.encode(["a bird."])) == ["a (?)."]


def test_characters_are_symbols_too():
    v = Vocabulary.of(["ab", "Aba"], characters=True)
    assert v.words == ("a", "b", "A") and v.decode(v.encode(["bAa", "x"])) == ["bAa", "(?)"]


def test_other_scripts_emoji_and_long_sentences():
    v = Vocabulary.of(
        ["Ein Hund läuft", "собака бежит", "犬が走る", "a dog 🐕 runs", "l'été don’t"]
    )
    for sentence in ("ein hund läuft", "собака бежит", "犬が走る", "a dog 🐕 runs", "l'été don’t"):
        assert v.decode(v.encode([sentence])) == [sentence]
    x = v.encode(["dog " * 10_000, "dog", "🐕"])
    assert x.shape == (3, 10_001) and Sentences(x).lengths.tolist() == [10_001, 2, 2]
    assert Sentences(x)[1:].x.shape == (2, 2)


@pytest.mark.parametrize("sentence", ["dog", "gnu", "собака 犬", "🐕", "a dog " * 5_000])
def test_a_sentence_of_any_kind_has_a_bound(sentence):
    """One word, none that is known, other scripts, an emoji, ten thousand words: beside others, as
    alone."""
    v = Vocabulary.of(SAID)
    torch.manual_seed(0)
    model = SentenceVAE(len(v), 2, 4, 6).eval()
    alone, x = v.encode([sentence]), v.encode([sentence, *SAID])
    with torch.no_grad():
        z = model.encoder(alone).mean
        assert torch.allclose(model.encoder(x).mean[:1], z, atol=1e-6)
        log_p = model.decoder(z).log_prob(alone)
        assert log_p.isfinite() and log_p < 0
        assert model.objective(x)[0].isfinite().all()


@pytest.mark.parametrize(
    ("sentences", "kind", "message"),
    [
        ([], ValueError, "expected at least one sentence, got none"),
        (["a", ""], ValueError, "expected a word in every sentence, got none in number 1, ''"),
        (["  \n "], ValueError, "none in number 0"),
        ("a dog", TypeError, r"expected a list of sentences, \[text\] for one alone"),
        (["a", 3], TypeError, "a list of sentences"),
    ],
)
def test_what_is_no_sentence_is_refused(sentences, kind, message):
    with pytest.raises(kind, match=message):
        Vocabulary(["a", "dog"]).encode(sentences)


def test_what_is_no_vocabulary_and_no_symbol_is_refused():
    with pytest.raises(ValueError, match="each once, got 2 of which 1 differ"):
        Vocabulary(["a", "a"])
    with pytest.raises(ValueError, match="each once, got 0"):
        Vocabulary([])
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        Vocabulary(["a"]).decode(torch.tensor([[3]]))
    for wrong in (torch.zeros(3), torch.zeros(3, 2), [[1]]):
        with pytest.raises(ValueError, match=r"symbols, whole numbers of shape \(N, T\), got"):
            Sentences(wrong)


def test_a_pass_visits_each_sentence_once_and_cuts_what_is_empty():
    random = torch.Generator().manual_seed(0)
    x = torch.randint(2, 50, (203, 30), generator=random)
    x[torch.arange(30) >= torch.randint(1, 30, (203, 1), generator=random)] = END
    data = Sentences(x)
    torch.manual_seed(0)
    batches = list(data.batches(20))
    assert len(batches) == 11 and sum(map(len, batches)) == 203
    assert all((until_end(b).sum(-1).max() == b.shape[1]) for b in batches)
    computed, needed = sum(b.numel() for b in batches), data.symbols
    assert computed < 1.15 * needed < 203 * 30
    back = sorted(tuple(F.pad(row, (0, 30 - len(row))).tolist()) for b in batches for row in b)
    assert back == sorted(map(tuple, x.tolist()))
    assert not all(torch.equal(a, b) for a, b in zip(batches, data.batches(20), strict=True))
    ordered = torch.cat([F.pad(b, (0, 30 - b.shape[1])) for b in data.batches(20, shuffle=False)])
    assert torch.equal(ordered, x) and list(data[:0].batches(5)) == []
    assert data.fingerprint() == Sentences(x.clone()).fingerprint() != data[1:].fingerprint()
    assert torch.equal(data.to("cpu").x, x) and data[3].x.shape[0] == 1


def test_a_language_model_learns_them():
    data = Sentences(Vocabulary.of(SAID).encode(SAID * 20))
    model = LanguageModel(RecurrentNet(11, 0, 8, 16))
    history = fit(model, data, data, epochs=30, batch_size=10, lr=0.02, progress=False)
    assert history["valid"][-1] > -2.5  # log 3 nats say which of the three it is


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_said", set())
    monkeypatch.setenv("DGMCOURSE_DATA", str(tmp_path))
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DGMCOURSE_OFFLINE", "1")
    return tmp_path


def test_captions_are_read_or_the_manual_stands_in(elsewhere, monkeypatch, capsys):
    found = text.captions(300, 12, known=False)
    assert "stand in for it (DGMCOURSE_OFFLINE is set)" in capsys.readouterr().out
    assert len(found.train) > 300 and len(found.valid) > 20 and len(found.vocabulary) == 302
    assert found.train.lengths.max() == 25
    known = text.captions(300, 12)
    assert 0 < len(known.valid) < len(found.valid) and (known.train.x != UNKNOWN).all()
    with pytest.raises(ValueError, match="no sentence has at most 2 words of the vocabulary"):
        text.captions(300, 1)
    (elsewhere / "multi30k").mkdir()
    files = []
    for file, lines in zip(text.MULTI30K.files, (SAID, SAID[:1], SAID[2:]), strict=True):
        content = "\n".join([*lines, " "]).encode()
        (elsewhere / "multi30k" / file.name).write_bytes(content)
        files.append(file._replace(crc32=zlib.crc32(content)))
    monkeypatch.setattr(text, "MULTI30K", text.MULTI30K._replace(files=tuple(files)))
    found = text.captions(longest=7, known=False)
    assert [len(part) for part in found[:3]] == [2, 1, 1]  # one is of nine words
    assert found.vocabulary.decode(found.test.x) == ["cats sleep."]


def test_penn_treebank_is_checked_by_md5_and_nothing_stands_in(elsewhere, monkeypatch, capsys):
    with pytest.raises(FileNotFoundError, match=r"Penn Treebank is not here \(DGMCOURSE_OFFLINE"):
        text.penn_treebank()
    (elsewhere / "ptb").mkdir()
    content = b" a <unk> dog \n a dog \n"
    for file in text.PENN_TREEBANK.files:
        (elsewhere / "ptb" / file.name).write_bytes(content)
    with pytest.raises(FileNotFoundError):
        text.penn_treebank()
    assert "ptb.train.txt is damaged or incomplete" in capsys.readouterr().err
    md5 = hashlib.md5(content).hexdigest()
    files = tuple(file._replace(md5=md5) for file in text.PENN_TREEBANK.files)
    monkeypatch.setattr(text, "PENN_TREEBANK", text.PENN_TREEBANK._replace(files=files))
    found = text.penn_treebank()
    assert found.vocabulary.words == ("a", "dog")
    assert found.test.x.tolist() == [[2, 1, 3, 0], [2, 3, 0, 0]]


# what is served, and how it is read: gzip with a CRC of its content, and plain text with an md5
SERVED = [("MULTI30K", text.captions, ".gz"), ("PENN_TREEBANK", text.penn_treebank, "")]


@pytest.fixture(params=SERVED, ids=[name for name, _, _ in SERVED])
def served(request, elsewhere, monkeypatch):
    """A corpus of a few sentences, as files of a server on this machine: (server, how to load it)."""
    name, load, packed = request.param
    monkeypatch.delenv("DGMCOURSE_OFFLINE")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(source, "_failed", {})
    for wait in ("CONNECT", "STALL"):
        monkeypatch.setattr(source, wait, 1.0)
    monkeypatch.setattr(source, "PAUSE", 0.0)
    server, files = Server(), []
    server.files = {}
    for file in (dataset := getattr(text, name)).files:
        content = "\n".join(SAID).encode()
        server.files[file.name + packed] = sent = gzip.compress(content) if packed else content
        md5 = hashlib.md5(sent).hexdigest()
        crc32 = zlib.crc32(content) if file.crc32 else None
        assert file.packed == packed
        files.append(file._replace(md5=md5, crc32=crc32))
    mirror = f"http://127.0.0.1:{server.server_address[1]}/a/"
    dataset = dataset._replace(files=tuple(files), mirrors=(mirror,))
    monkeypatch.setattr(text, name, dataset)
    yield server, load, elsewhere / "cache" / dataset.folder
    server.closing.set()
    server.shutdown()
    server.server_close()


def test_sentences_are_fetched_once_and_a_broken_download_is_fetched_again(served, capsys):
    server, load, folder = served
    (first, *others) = [f"/a/{name}" for name in server.files]
    server.plan = {first: ["truncated", "altered"]}
    found = load(known=False)
    assert found.vocabulary.decode(found.train.x) == [s.lower() for s in SAID]
    assert server.asked == [first] * 3 + others
    said = capsys.readouterr().out
    assert "truncated: " in said and "wrong checksum: not the file that was published" in said
    load(known=False)
    assert len(server.asked) == 5  # the second time from the cache
    (kept := next(folder.iterdir())).write_bytes(b"A dog")
    load(known=False)
    assert len(server.asked) == 6 and kept.stat().st_size > 10
    assert f"{kept.name} is damaged or incomplete; it is not used, but fetched again" in (
        capsys.readouterr().err
    )


def test_sentences_that_are_gone_are_told(served, capsys):
    server, load, folder = served
    server.always = {"a": "404"}
    if load is text.captions:  # something stands in for it
        assert len(load(300).train) > 50
        said = capsys.readouterr().out
    else:
        with pytest.raises(FileNotFoundError) as error:
            load()
        said = str(error.value)
        assert "put ptb.train.txt, ptb.valid.txt and ptb.test.txt into the folder ptb" in said
    assert "the server answered 404" in said and not folder.exists()


def test_the_examples_are_true():
    assert doctest.testmod(text).failed == 0
