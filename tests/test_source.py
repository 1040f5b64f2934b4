"""Where files come from: a download from a server with every fault, the cache, DGMCOURSE_DATA, no
network.
"""

import gzip
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import pytest

from dgmcourse.data import source

ONE, TWO = bytes(range(256)) * 800, b"labels" * 1000
PACKED = {"one.gz": gzip.compress(ONE), "two": TWO}
FILES = (
    source.File("one", zlib.crc32(ONE), hashlib.md5(PACKED["one.gz"]).hexdigest(), ".gz"),
    source.File("two", zlib.crc32(TWO), hashlib.md5(TWO).hexdigest()),
)


class Server(http.server.ThreadingHTTPServer):
    """Serves PACKED below /a/ and /b/. `plan[path]` lists what goes wrong, then all is well."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan, self.always, self.asked, self.closing = {}, {}, [], threading.Event()
        self.files = dict(PACKED)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def dataset(self, title="Toy"):
        base = f"http://127.0.0.1:{self.server_address[1]}"
        return source.DataSet(title, "Toy/raw", FILES, (f"{base}/a/", f"{base}/b/"))

    def handle_error(self, request, client_address):
        pass  # a client that gave up is what these tests are about


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        content = server.files[self.path.rsplit("/", 1)[-1]]
        faults = server.plan.get(self.path)
        fault = faults.pop(0) if faults else server.always.get(self.path.split("/")[1], "good")
        if fault == "silent":
            server.closing.wait(20)
            return
        if fault.isdigit():
            self.send_error(int(fault))
            return
        if fault == "altered":
            content = content[:50] + bytes([content[50] ^ 1]) + content[51:]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(
            content[: len(content) // 2] if fault in ("truncated", "stalled") else content
        )
        self.wfile.flush()
        if fault == "stalled":
            server.closing.wait(20)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    running = Server()
    yield running
    running.closing.set()
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """A process that has said and tried nothing, with an empty cache, and not patient."""
    monkeypatch.setattr(source, "_said", set())
    monkeypatch.setattr(source, "_failed", {})
    for name, value in {"CONNECT": 1.0, "STALL": 1.0, "PAUSE": 0.0}.items():
        monkeypatch.setattr(source, name, value)
    for name in ("DGMCOURSE_DATA", "DGMCOURSE_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


def is_right(found):
    return found is not None and bytes(found["one"]) == ONE and bytes(found["two"]) == TWO


def kept(root):
    return sorted(str(p.relative_to(root)) for p in Path(root).rglob("*") if p.is_file())


FAULTS = {
    "503": "the server answered 503",
    "truncated": "truncated: ",
    "altered": "wrong checksum",
    "stalled": "stalled: nothing came for 1 s",
    "silent": "no answer within 1 s",
    "404": "the server answered 404",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_apart_and_overcome_by_the_other_mirror(server, fault, capsys, tmp_path):
    server.plan = {"/a/one.gz": [fault]}
    found, where = source.find(server.dataset())
    assert is_right(found) and where.startswith("http://127.0.0.1")
    said = capsys.readouterr().out
    assert [text for text in FAULTS.values() if text in said] == [FAULTS[fault]]
    assert kept(tmp_path / "cache") == ["Toy/raw/one", "Toy/raw/two"]  # and no partial file
    server.always = {"a": "404", "b": "404"}
    again, where = source.find(server.dataset())
    assert is_right(again) and where.startswith("the cache")


def test_a_socket_never_gives_up_before_we_do(server, monkeypatch, capsys):
    monkeypatch.setattr(
        source, "STALL", 0.5
    )  # a socket that waited as long would name another reason
    server.always = {"a": "silent", "b": "silent"}
    source.find(server.dataset())
    assert capsys.readouterr().out.count("no answer within 1 s") == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_everywhere_gives_its_reason_and_no_file(server, fault, tmp_path):
    server.always = {"a": fault, "b": fault}
    found, why = source.find(server.dataset())
    assert found is None
    assert FAULTS[fault] in why or (fault == "silent" and why == "no network")
    assert kept(tmp_path / "cache") == [".Toy-unavailable"]


def test_a_server_that_recovers_is_tried_again_and_a_silent_one_is_not(server):
    server.plan = {"/a/one.gz": ["503", "truncated"], "/b/one.gz": ["altered", "503"]}
    found, _ = source.find(server.dataset())
    assert is_right(found) and server.asked == ["/a/one.gz", "/b/one.gz"] * 2 + [
        "/a/one.gz",
        "/a/two",
    ]

    server.asked.clear()
    server.plan = {"/a/one.gz": ["stalled"], "/b/one.gz": ["503", "good"]}
    found, _ = source.find(server.dataset("Other")._replace(folder="Other"))
    assert is_right(found) and server.asked == ["/a/one.gz", "/b/one.gz", "/b/one.gz", "/b/two"]


def test_a_download_that_compares_no_checksum_is_caught(server, monkeypatch):
    monkeypatch.setattr(source, "_unpack", lambda file, content: content)
    server.files["two"] = TWO.replace(b"l", b"L")
    found, _ = source.find(server.dataset())
    assert found is not None and not is_right(
        found
    )  # the mutant hands wrong bytes on: `is_right` sees it


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:9] + b"X" + b[10:], lambda b: b""]
)
def test_a_damaged_file_in_the_cache_is_fetched_again(server, damage, tmp_path, capsys):
    source.find(server.dataset())
    path = tmp_path / "cache/Toy/raw/two"
    path.write_bytes(damage(TWO))
    server.asked.clear()
    found, where = source.find(server.dataset())
    assert is_right(found) and where.startswith("http") and server.asked == ["/a/two"]
    assert "two is damaged or incomplete" in capsys.readouterr().err
    assert path.read_bytes() == TWO


def test_the_directory_in_dgmcourse_data_comes_first(server, tmp_path, monkeypatch, capsys):
    mine = tmp_path / "mine/Toy/raw"
    mine.mkdir(parents=True)
    (mine / "one").write_bytes(ONE)
    (mine / "two.gz").write_bytes(gzip.compress(TWO))
    monkeypatch.setenv("DGMCOURSE_DATA", str(tmp_path / "mine"))
    found, where = source.find(server.dataset())
    assert is_right(found) and where == "the directory in DGMCOURSE_DATA" and not server.asked
    found["one"][:] = 0  # what is handed out is ours to change, the file is not
    assert (mine / "one").read_bytes() == ONE

    (mine / "two.gz").write_bytes(gzip.compress(TWO)[:-20])
    found, where = source.find(server.dataset())
    assert is_right(found) and where.startswith("http")
    assert "two.gz is damaged or incomplete; it is not used" in capsys.readouterr().err

    monkeypatch.setenv("DGMCOURSE_DATA", str(tmp_path / "nowhere"))
    found, where = source.find(server.dataset())
    assert is_right(found) and where.startswith("the cache")
    assert "which is not a directory" in capsys.readouterr().err


def test_a_network_that_failed_is_remembered_until_asked_again(server, tmp_path, monkeypatch):
    server.always = {"a": "404", "b": "404"}
    first = source.find(server.dataset())
    server.asked.clear()
    assert source.find(server.dataset()) == first and not server.asked
    monkeypatch.setattr(source, "_failed", {})  # as in another process
    assert source.find(server.dataset()) == first and not server.asked

    server.always = {}
    assert is_right(source.find(server.dataset(), download="again")[0])
    assert kept(tmp_path / "cache") == ["Toy/raw/one", "Toy/raw/two"]

    marker = tmp_path / "cache/.Other-unavailable"
    marker.write_text("no network")
    os.utime(marker, times=(0, time.time() - source.REMEMBER - 5))
    assert is_right(source.find(server.dataset("Other")._replace(folder="Other"))[0])


def test_nothing_is_asked_of_the_network_when_it_must_not(server, monkeypatch):
    assert source.find(server.dataset(), download=False) == (None, "not downloaded yet")
    monkeypatch.setenv("DGMCOURSE_OFFLINE", "1")
    assert source.find(server.dataset()) == (None, "DGMCOURSE_OFFLINE is set")
    assert not server.asked


def test_a_cache_that_cannot_be_written_costs_only_the_cache(server, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path / "file"))
    assert is_right(source.find(server.dataset())[0])
    assert "nothing is kept" in capsys.readouterr().err


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert source.cache() == tmp_path / "cache"
    monkeypatch.delenv("DGMCOURSE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert source.cache() == tmp_path / ".cache/dgmcourse"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert source.cache() == tmp_path / "xdg/dgmcourse"


def test_a_dead_network_is_noticed_within_seconds(monkeypatch, server):
    """With the patience that users get: mirrors that say nothing, then a name server that says
    nothing.
    """
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(source, "_failed", {})
    monkeypatch.setenv("DGMCOURSE_CACHE", os.devnull)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        start = time.monotonic()
        dataset = server.dataset("Mute")._replace(mirrors=(address, address + "b/"))
        assert source.find(dataset) == (None, "no network")
        assert time.monotonic() - start < 10

    released = threading.Event()

    def mute_name_server(*_):
        released.wait(30)
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", mute_name_server)
    dataset = server.dataset("Unnamed")._replace(mirrors=("http://a.invalid/", "http://b.invalid/"))
    start = time.monotonic()
    assert source.find(dataset) == (None, "no network")
    assert time.monotonic() - start < 10
    released.set()


OFFLINE = """
import socket
def refuse(*_, **__): raise ConnectionRefusedError(111, "Connection refused")
socket.socket.connect = socket.getaddrinfo = refuse
from dgmcourse.data.images import mnist
for _ in range(2):
    splits = mnist()
print(*map(len, splits), splits.train.tensor().unique().tolist())
"""


def test_the_embedded_digits_in_an_empty_home_without_a_network(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DGMCOURSE", "XDG"))}
    env["HOME"] = str(tmp_path)
    python = [sys.executable, "-W", "error", "-c", OFFLINE]
    ran = subprocess.run(
        python, env=env, capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert ran.returncode == 0, ran.stderr
    *network, line, numbers = ran.stdout.splitlines()  # the one line is said once
    assert line.startswith("MNIST: 5,000 of its digits")
    assert line.endswith("python -m dgmcourse data (no network)")
    assert numbers == "4000 500 500 [0.0, 1.0]"
    assert (
        sum("no connection (Connection refused)" in tried for tried in network) == 2
    )  # each mirror once, not at each call
    assert not ran.stderr  # red in a notebook, where nothing is wrong
