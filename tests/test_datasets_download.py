"""Downloads: mirrors in turn, only the published content, whole or not at all, one process at a time."""

import errno
import gzip
import http.server
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_data import (
    BATCHES,
    NAMES,
    check_cifar,
    check_mnist,
    digest,
    idx_contents,
    isolate,
    tar,
    tree,
    use_cifar,
    use_mirrors,
    use_mnist,
    write,
)

from genmodels import datasets
from genmodels.datasets import cache, download


class Server:
    """A web server on this machine that serves what `pages` says and counts requests."""

    def __init__(self):
        self.pages, self.requests, self.stalled = {}, [], threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler):
        page = self.pages.get(handler.path)
        if page is None:
            handler.send_error(404)
            return
        content, claimed = page if isinstance(page, tuple) else (page, len(page))
        handler.send_response(200)
        handler.send_header("Content-Length", str(claimed))
        handler.end_headers()
        handler.wfile.write(content)
        if claimed > len(content) and handler.path.startswith("/stall/"):
            self.stalled.set()
            time.sleep(60)

    def mirror(self, name, contents, pack=gzip.compress):
        """Serves the contents below /name/ and returns that mirror's address."""
        for file, content in contents.items():
            self.pages[f"/{name}/{file}.gz"] = pack(content)
        return f"{self.url}{name}/"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    isolate(tmp_path, monkeypatch)


@pytest.fixture
def mnist(monkeypatch):
    return use_mnist(monkeypatch)


@pytest.fixture
def cifar(monkeypatch):
    return use_cifar(monkeypatch)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture(params=["pooch", "urllib"])
def client(request, monkeypatch):
    """Both ways to download."""
    if request.param == "pooch":
        pytest.importorskip("pooch")
        pytest.importorskip("requests")
    else:
        monkeypatch.setattr(download, "find_spec", lambda name: None)
    return request.param


def test_download_into_the_cache_then_no_more(server, client, mnist, monkeypatch):
    use_mirrors(monkeypatch, "mnist", [server.mirror("a", mnist)])
    check_mnist(datasets.load("mnist"), mnist)
    assert sorted(p.name for p in (cache.user_folder() / "mnist").iterdir()) == sorted(f"{n}.gz" for n in NAMES)
    check_mnist(datasets.load("mnist"), mnist)
    assert len(server.requests) == 4


def test_download_into_a_new_root(server, client, mnist, monkeypatch, tmp_path):
    use_mirrors(monkeypatch, "mnist", [server.mirror("a", mnist)])
    check_mnist(datasets.load("mnist", root=tmp_path / "new" / "root"), mnist)
    check_mnist(datasets.load("mnist", root=tmp_path / "new" / "root", download=False), mnist)
    assert not cache.user_folder().exists()


def test_the_variables_folder_is_never_written(server, client, mnist, monkeypatch, tmp_path):
    use_mirrors(monkeypatch, "mnist", [server.mirror("a", mnist)])
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "data"))
    check_mnist(datasets.load("mnist"), mnist)
    assert tree(tmp_path / "data") == {}


def test_only_what_is_missing_is_downloaded(server, client, mnist, monkeypatch, tmp_path):
    use_mirrors(monkeypatch, "mnist", [server.mirror("a", mnist)])
    write(tmp_path / "r", {name: mnist[name] for name in NAMES if name != NAMES[2]})
    check_mnist(datasets.load("mnist", root=tmp_path / "r"), mnist)
    assert server.requests == [f"/a/{NAMES[2]}.gz"]


def test_bad_mirrors_then_a_good_one(server, client, mnist, monkeypatch):
    bad = [server.mirror("other", idx_contents(seed=1)), server.mirror("text", mnist, lambda c: b"<html>moved</html>")]
    bad += [server.mirror("long", mnist, lambda c: c + bytes(10 << 20)), f"{server.url}none/", "http://127.0.0.1:1/"]
    bad += [server.mirror("cut", mnist, lambda c: gzip.compress(c)[:-1])]
    bad += [server.mirror("broken", mnist, lambda c: (gzip.compress(c)[:50], len(gzip.compress(c))))]
    use_mirrors(monkeypatch, "mnist", [*bad, server.mirror("good", mnist)])
    check_mnist(datasets.load("mnist"), mnist)
    assert [r.split("/")[1] for r in server.requests[:7]] == ["other", "text", "long", "none", "cut", "broken", "good"]
    assert sorted(p.name for p in (cache.user_folder() / "mnist").iterdir()) == sorted(f"{n}.gz" for n in NAMES)


def test_all_mirrors_bad(server, client, mnist, monkeypatch, tmp_path):
    mirrors = [server.mirror("other", idx_contents(seed=1)), f"{server.url}none/"]
    use_mirrors(monkeypatch, "mnist", mirrors)
    before = tree(tmp_path)
    with pytest.raises(OSError, match=r"could not download train-images-idx3-ubyte\.gz") as error:
        datasets.load("mnist")
    for mirror in mirrors:
        assert mirror in str(error.value)
    assert digest(mnist[NAMES[0]]) in str(error.value)
    assert "404" in str(error.value)
    assert tree(tmp_path) == before


def test_a_server_that_unpacks(server, client, mnist, monkeypatch):
    use_mirrors(monkeypatch, "mnist", [server.mirror("plain", mnist, lambda c: c)])
    check_mnist(datasets.load("mnist"), mnist)
    check_mnist(datasets.load("mnist", download=False), mnist)


def test_cifar_download(server, client, cifar, monkeypatch):
    server.pages["/bad/cifar-10-binary.tar.gz"] = tar(cifar | {BATCHES[5]: cifar[BATCHES[0]]})
    server.pages["/good/cifar-10-binary.tar.gz"] = tar(cifar)
    use_mirrors(monkeypatch, "cifar10", [f"{server.url}bad/", f"{server.url}good/"])
    check_cifar(datasets.load("cifar10"), cifar)
    assert sorted(p.name for p in (cache.user_folder() / "cifar10").iterdir()) == sorted(BATCHES)
    check_cifar(datasets.load("cifar10", download=False), cifar)


def test_no_download_when_told_so(server, mnist, monkeypatch, tmp_path):
    use_mirrors(monkeypatch, "mnist", [server.mirror("a", mnist)])
    before = tree(tmp_path)
    with pytest.raises(FileNotFoundError, match="download=True"):
        datasets.load("mnist", download=False)
    assert server.requests == []
    assert tree(tmp_path) == before


def test_a_bar_is_drawn_for_a_terminal(server, client, mnist, monkeypatch):
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(download, "find_spec", lambda name: name == "tqdm" or client == "pooch")
    monkeypatch.setattr(sys, "stderr", Terminal())
    use_mirrors(monkeypatch, "mnist", [server.mirror("a", mnist)])
    datasets.load("mnist")
    assert f"{NAMES[0]}.gz" in sys.stderr.getvalue()


LOADER = """
import sys
from dataclasses import replace
sys.path.insert(0, {tests!r})
import small_data as t
from genmodels import datasets
from genmodels.datasets import sources
contents = t.idx_contents()
items = (t.TRAIN, t.TRAIN, t.TEST, t.TEST)
sources.SOURCES["mnist"] = t.published(sources.MNIST, contents, items, [{mirror!r}])
t.check_mnist(datasets.load("mnist"), contents)
"""


def loader(mirror):
    """Another process that loads the small set into the same cache folder."""
    script = LOADER.format(tests=str(Path(__file__).parent), mirror=mirror)
    root = str(Path(datasets.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE)


def test_two_processes_download_once(server, mnist):
    mirror = server.mirror("a", mnist)
    processes = [loader(mirror) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert sorted(server.requests) == sorted(f"/a/{name}.gz" for name in NAMES)


def test_a_killed_download_leaves_nothing_that_looks_complete(server, mnist, monkeypatch):
    packed = gzip.compress(mnist[NAMES[0]])
    server.mirror("stall", mnist)
    server.pages[f"/stall/{NAMES[0]}.gz"] = (packed[:2000], len(packed))
    process = loader(f"{server.url}stall/")
    assert server.stalled.wait(60)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.communicate(timeout=60)
    folder = cache.user_folder() / "mnist"
    assert not any(path.name.startswith(("train", "t10k")) for path in folder.iterdir())
    use_mirrors(monkeypatch, "mnist", [server.mirror("a", mnist)])
    check_mnist(datasets.load("mnist"), mnist)
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{n}.gz" for n in NAMES)


def test_a_mirrors_other_content_is_no_reason_to_leave_verification(server, client, mnist, monkeypatch, tmp_path):
    use_mirrors(monkeypatch, "mnist", [server.mirror("a", idx_contents(seed=1))])
    with pytest.raises(OSError, match="has other content than the published") as error:
        datasets.load("mnist", root=tmp_path / "r", verify=False)  # of what is downloaded nothing else is taken
    assert "verify" not in str(error.value)


# The lock


def test_the_lock_is_exclusive_and_leaves_nothing(tmp_path):
    folder = tmp_path / "a" / "b"
    with cache.locked(folder):
        with pytest.raises(TimeoutError, match=r"b/\.lock"), cache.locked(folder, timeout=0.2):
            pass
        (folder / ".old.1.part").write_bytes(b"half")
    with cache.locked(folder):
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert tree(tmp_path) == {"a": False, "a/b": False}
    with cache.locked(tmp_path / "c" / "d"):
        assert (tmp_path / "c" / "d").is_dir()
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("error", [FileExistsError, FileNotFoundError])
def test_a_folder_that_is_removed_as_it_is_made_is_made_again(tmp_path, monkeypatch, error):
    make, failures = os.mkdir, [error("the last holder was here"), None]

    def mkdir(*arguments, **options):
        if failures and (failure := failures.pop(0)):
            raise failure
        make(*arguments, **options)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with cache.locked(tmp_path / "a", timeout=5):
        assert (tmp_path / "a").is_dir()


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FileExistsError), cache.locked(tmp_path / "a"):
        pass


def test_a_folder_that_cannot_be_made_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", pytest.fail)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for folder in (tmp_path / "gone", tmp_path / "gone" / "a"):
        with pytest.raises(FileExistsError, match="gone"), cache.locked(folder, timeout=5):
            pass

    def mkdir(*arguments, **options):  # as in /proc
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a")

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(FileNotFoundError, match="'a'"), cache.locked(tmp_path / "a", timeout=5):
        pass


def test_a_link_that_leads_nowhere_is_no_cache_and_no_root(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", pytest.fail)  # nobody holds a lock that one could wait for
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for name in ("mnist", "strokes"):
        with pytest.raises(NotADirectoryError, match=r"root=.*gone is not a folder"):
            datasets.load(name, root=tmp_path / "gone")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "gone"))
    with pytest.raises(FileExistsError, match="gone"):
        datasets.load("mnist")


def test_the_lock_counts_under_contention(tmp_path):
    """Eight threads add to a number in a file; without mutual exclusion some additions would be lost."""
    folder, number = tmp_path / "locked", tmp_path / "number"
    number.write_text("0")

    def add():
        for _ in range(10):
            with cache.locked(folder):
                before = int(number.read_text())
                time.sleep(0.0005)
                number.write_text(str(before + 1))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert number.read_text() == "80"
    assert not (folder / ".lock").exists()
