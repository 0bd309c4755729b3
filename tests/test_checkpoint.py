"""Model files: what they hold, how they are replaced, and that nothing but a whole one is taken."""

import hashlib
import json
import os

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import small

import genmodels as gm
from genmodels import _files, _safetensors


@pytest.fixture(scope="module")
def model():
    model = small.vae(num_classes=3, optimizer=gm.optimizers.Adam(1e-3))
    model.fit(small.images(), np.arange(small.TRAINING) % 3, epochs=2, batch_size=40)
    model.recipe = {"data": "mnist", "epochs": 30, "batch_size": 128, "image_size": 28}
    return model


@pytest.fixture(scope="module")
def contents(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    model.save(path)
    return path.read_bytes()


@pytest.fixture
def path(contents, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(contents)
    return path


def split(contents):
    length = int.from_bytes(contents[:8], "little")
    return json.loads(contents[8 : 8 + length]), contents[8 + length :]


def join(header, data):
    """A file of this header and data, with the right checksum: what an attacker would write."""
    metadata = {"sha256": "0" * 64, **{k: v for k, v in header.get("__metadata__", {}).items() if k != "sha256"}}
    text = json.dumps({"__metadata__": metadata, **{k: v for k, v in header.items() if k != "__metadata__"}})
    text = text.replace('{"__metadata__": {"sha256": "', '{"__metadata__":{"sha256":"', 1).encode()
    return sign(len(text).to_bytes(8, "little") + text + data)


def sign(unsigned):
    before, after = unsigned[:35], unsigned[35 + 64 :]
    return before + hashlib.sha256(before + b"0" * 64 + after).hexdigest().encode() + after


def refused(path, contents, message=None):
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=message) as caught:
        gm.load(path)
    assert str(path) in str(caught.value)


# ---- what a file holds --------------------------------------------------------------------------------------------


def test_everything_comes_back(model, path):
    loaded = gm.load(path)
    assert type(loaded) is gm.VAE
    assert small.state(loaded) == small.state(model)
    assert loaded.config == model.config
    assert loaded.recipe == model.recipe
    assert loaded.history["seconds"] == model.history["seconds"]
    assert [*loaded.history] == [*model.history]
    assert not loaded.interrupted


def test_random_streams_come_back(tmp_path):
    model = small.vae()
    model.sample(3)
    model.save(tmp_path / "model.safetensors")
    loaded = gm.load(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.sample(4), model.sample(4))


def test_saving_is_deterministic_and_loses_nothing(model, contents, path):
    loaded = gm.load(path)
    loaded.save(path)
    assert path.read_bytes() == contents


def test_a_fresh_model_saves_and_trains_on(tmp_path):
    model = small.vae()
    model.save(tmp_path / "model")  # any name is taken as it is
    loaded = gm.load(tmp_path / "model")
    assert len(loaded.history) == len(loaded.history.steps) == 0
    assert loaded.recipe is None
    for each in (model, loaded):
        each.fit(small.images(), batch_size=40)
    assert small.state(loaded) == small.state(model)


def test_safetensors_reads_it(model, path):
    tensors = safetensors.numpy.load_file(path)
    for name, weight in model.weights.items():
        assert tensors[name].dtype == np.float32
        assert np.array_equal(tensors[name], weight)
    assert tensors["history.steps.loss"].tolist() == model.history.steps["loss"]
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata()
    assert metadata["family"] == "VAE"
    assert json.loads(metadata["config"])["latent_dim"] == 2


def test_the_checksum_is_the_documented_one(contents):
    header, _ = split(contents)
    stated = header["__metadata__"]["sha256"]
    assert contents.count(stated.encode()) == 1
    assert hashlib.sha256(contents.replace(stated.encode(), b"0" * 64)).hexdigest() == stated


def test_tensors_are_aligned(contents):
    header, data = split(contents)
    assert (len(contents) - len(data)) % 8 == 0
    sizes = {"F32": 4, "F64": 8}
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    assert all(entry["data_offsets"][0] % sizes[entry["dtype"]] == 0 for entry in tensors)


# ---- how it is replaced -------------------------------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file_and_no_litter(model, path, contents, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"No space left.*model\.safetensors"):
        model.save(path)
    assert path.read_bytes() == contents
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupted_save_leaves_the_old_file_and_no_litter(path, contents):
    def write():
        with _files.replacing(path) as file:
            file.write(b"half of it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_bytes() == contents
    assert os.listdir(path.parent) == [path.name]


def test_nothing_is_under_the_name_before_it_is_complete(tmp_path):
    path = tmp_path / "new.safetensors"
    with _files.replacing(path) as file:
        file.write(b"half of it")
        assert not path.exists()
        assert all(not name.endswith(".safetensors") for name in os.listdir(tmp_path))
    assert path.read_bytes() == b"half of it"


def test_files_of_killed_runs_are_removed_and_others_stay(model, path):
    stale = path.parent / ".model.safetensors.0123abcd.tmp"
    others = [".model.safetensors.tmp", ".other.safetensors.0123abcd.tmp", "model.safetensors.0123abcd.tmp"]
    for name in [stale.name, *others]:
        (path.parent / name).write_bytes(b"part")
    model.save(path)
    assert sorted(os.listdir(path.parent)) == sorted([path.name, *others])


def test_two_savers_at_once_leave_each_other_alone(path):
    with _files.replacing(path) as first:
        first.write(b"first")
        with _files.replacing(path) as second:
            second.write(b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(path.parent) == [path.name]


def test_a_link_stays_a_link(model, path, contents):
    path.write_bytes(b"old")
    link = path.parent / "newest.safetensors"
    link.symlink_to(path.name)
    model.save(link)
    assert link.is_symlink()
    assert path.read_bytes() == contents


def test_new_files_have_the_usual_permissions(path, model):
    path.unlink()
    before = os.umask(0o027)
    try:
        model.save(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("kind", "place", "message"),
    [
        (FileNotFoundError, "nowhere/model.safetensors", "nowhere"),
        (IsADirectoryError, ".", "folder"),
        (ValueError, "a\0b", "file name"),
        (ValueError, "\ud800", "file name"),
    ],
)
def test_places_that_cannot_be_written(kind, place, message, model, tmp_path):
    with pytest.raises(kind, match=message):
        model.save(f"{tmp_path}/{place}")
    assert os.listdir(tmp_path) == []


def test_a_pipe_is_not_replaced(model, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a device or pipe is in the place"):
        model.save(tmp_path / "pipe")
    assert os.listdir(tmp_path) == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_no_file_can_have_such_a_name():
    with pytest.raises(ValueError, match="file name") as caught:
        gm.load("\ud800")
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize("value", [3, None, b"model"])
def test_what_is_no_path(value, model):
    with pytest.raises(TypeError, match="path"):
        model.save(value)
    with pytest.raises(TypeError, match="path"):
        gm.load(value)


@pytest.mark.parametrize(("name", "value"), [("decoder.0.bias", np.nan), ("encoder.1.moving_var", -1)])
def test_unfit_weights_are_not_saved(name, value, path, contents):
    (model := small.vae()).weights[name][3] = value
    with pytest.raises(ValueError, match=rf"{name}.*(not finite|-1\.0, must be at least 0)"):
        model.save(path)
    assert path.read_bytes() == contents


# ---- damage -------------------------------------------------------------------------------------------------------


def test_cut_off_anywhere(path, contents):
    for length in [*range(0, 120), *range(120, len(contents), 1000), len(contents) - 1]:
        refused(path, contents[:length])


def test_one_bit_changed_anywhere(path, contents):
    places = np.random.default_rng(0).integers(0, 8 * len(contents), 400)
    for bit in [*range(8 * 110), *places.tolist()]:
        changed = bytearray(contents)
        changed[bit // 8] ^= 1 << bit % 8
        refused(path, bytes(changed))


def test_bytes_added(path, contents):
    refused(path, contents + b"\0", "SHA-256")


@pytest.mark.parametrize(
    "foreign",
    [b"", b"\0" * 1000, b"hello\n" * 100, b"\x93NUMPY" + b"\0" * 200, b"\xff" * 300, b"PK\3\4" + b"\0" * 300],
)
def test_foreign_files(foreign, path):
    refused(path, foreign, "not a genmodels model file")


def test_safetensors_of_others(path):
    safetensors.numpy.save_file({"a": np.zeros(300, np.float32)}, path)
    refused(path, path.read_bytes(), "not a genmodels model file")


def test_no_file_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        gm.load(tmp_path / "absent.safetensors")
    with pytest.raises(IsADirectoryError, match="folder"):
        gm.load(tmp_path)
    with pytest.raises(ValueError, match="not a regular file"):
        gm.load("/dev/null")


def test_a_damaged_file_is_not_changed(path, contents):
    refused(path, contents[:-1])
    assert path.read_bytes() == contents[:-1]
    assert os.listdir(path.parent) == [path.name]


# ---- hostile files: a right checksum over wrong contents ----------------------------------------------------------


def test_the_forger_works(path, contents, model):
    path.write_bytes(join(*split(contents)))
    assert small.state(gm.load(path)) == small.state(model)


def test_header_length_beyond_the_file(path, contents):
    for length in (len(contents), 2**40, 2**63, 2**64 - 1):
        refused(path, sign(length.to_bytes(8, "little") + contents[8:]), "header has")


def test_headers_that_are_no_header(path, contents):
    _, data = split(contents)
    start = b'{"__metadata__":{"sha256":"' + b"0" * 64 + b'"'
    deep = b"[" * 100_000
    for rest in (b"", b"}", b',"a":3}}', b"}" + b"\xff}", b'},"x":' + deep, b"}} x", b'},"x":1e999}', b'},"x":null}'):
        header = start + rest
        refused(path, sign(len(header).to_bytes(8, "little") + header + data))


def test_a_name_twice(path, contents):
    header, data = split(contents)
    text = json.dumps(header, separators=(",", ":"))
    name = '"decoder.0.bias":'
    text = text.replace(name, name + '{"dtype":"F32","shape":[0],"data_offsets":[0,0]},' + name).encode()
    refused(path, sign(len(text).to_bytes(8, "little") + text + data), "twice")


def change(name, value):
    """A change of one field of a tensor's entry."""

    def apply(header):
        header["decoder.0.bias"][name] = value

    return apply


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (change("dtype", "F16"), "dtype 'F16'"),
        (change("dtype", ["F32"]), "dtype"),
        (change("dtype", "F64"), "data_offsets"),
        (change("shape", [-64]), "not a shape"),
        (change("shape", [64.0]), "not a shape"),
        (change("shape", [True]), "not a shape"),
        (change("shape", "64"), "not a shape"),
        (change("shape", [2**62, 2**62]), "data_offsets"),
        (change("shape", [1] * 9 + [64]), "not a shape"),
        (change("shape", [32]), "data_offsets"),
        (change("data_offsets", [0, 256]), "data_offsets"),
        (change("data_offsets", [0]), "data_offsets"),
        (change("data_offsets", None), "data_offsets"),
        (change("extra", 1), "expected dtype, shape"),
        (lambda header: header.update(x=[]), "expected dtype, shape"),
        (lambda header: header.popitem(), "take"),
        (lambda header: header.update(x={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}), "'x'"),
        (lambda header: header.update(x={"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}), "'x'"),
    ],
)
def test_wrong_tensor_entries(apply, message, path, contents):
    header, data = split(contents)
    apply(header)
    refused(path, join(header, data), message)


def test_tensors_of_another_model(path, contents):
    header, data = split(contents)
    entry = header["decoder.0.bias"]
    for shape in ([8, 8], [64, 1]):
        refused(path, join({**header, "decoder.0.bias": {**entry, "shape": shape}}, data), r"decoder\.0\.bias")
    renamed = {name.replace("decoder.0.bias", "decoder.9.bias"): value for name, value in header.items()}
    refused(path, join(renamed, data), "missing|not part of the model")
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}
    refused(path, join({**header, "more": empty}, data), "'more' is not part")


def test_unfit_values(path, contents):
    header, data = split(contents)
    negative = [(name, -0.5, "-0.5, must be") for name in ("encoder.1.moving_var", "optimizer.decoder.v")]
    for name, value, message in [*negative, *(("decoder.0.bias", value, "not finite") for value in (np.nan, np.inf))]:
        start = header[name]["data_offsets"][0]
        bad = data[:start] + np.float32(value).tobytes() + data[start + 4 :]
        refused(path, join(header, bad), f"{name}.*{message}")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format_version", "2", "version '2'"),
        ("family", "GPT", "'GPT'.*VAE"),
        ("config", "not JSON", "config"),
        ("config", "[]", "config"),
        ("config", "{}", "config"),
        ("config", "[" * 100_000, "config|recursion"),
        ("counters", "[]", "counters"),
        ("counters", "{}", "counters"),
        ("counters", '{"noise": -1}', "noise"),
        ("counters", '{"noise": true}', "noise"),
        ("counters", '{"noise": 1e400}', "noise"),
        ("position", "{}", "place in the fit"),
        ("position", "7", "place in the fit"),
        ("recipe", "7", "recipe"),
        ("interrupted", "", "interrupted"),
    ],
)
def test_wrong_metadata(name, value, message, path, contents):
    header, data = split(contents)
    metadata = header["__metadata__"]
    refused(path, join({**header, "__metadata__": {**metadata, name: value}}, data), message)
    without = {key: text for key, text in metadata.items() if key != name}
    refused(path, join({**header, "__metadata__": without}, data), name.replace("_", " "))


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"epoch": -1},
        {"epoch": 3},
        {"step": 4},
        {"step": 1},
        {"batch_size": True},
        {"images": 2**63},
        {"fingerprint": 7},
        {"sums": {"loss": "1"}},
        {"sums": []},
        {"seconds": float("nan")},
        {"more": 1},
    ],
)
def test_wrong_place_in_the_fit(change, path, contents):
    header, data = split(contents)
    position = json.loads(header["__metadata__"]["position"]) | change
    header["__metadata__"]["position"] = json.dumps(position)
    refused(path, join(header, data), "place in the fit")


def test_a_history_of_unequal_columns(path, contents):
    header, data = split(contents)
    header["history.steps.short"] = {"dtype": "F64", "shape": [0], "data_offsets": [len(data)] * 2}
    refused(path, join(header, data), "history")
    header["history.steps.short"]["dtype"] = "F32"
    refused(path, join(header, data), "history.steps.short")


def with_config(contents, change):
    header, data = split(contents)
    config = json.loads(header["__metadata__"]["config"])
    change(config)
    header["__metadata__"]["config"] = json.dumps(config)
    return join(header, data)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(latent_dim=3),
        lambda config: config.update(latent_dim="2"),
        lambda config: config.update(seed=-1),
        lambda config: config.update(optimizer={"kind": "Magic"}),
        lambda config: config.update(optimizer=None),
        lambda config: config.update(encoder=None),
        lambda config: config.update(encoder=[3]),
        lambda config: config.update(encoder=[{"kind": "Dense"}]),
        lambda config: config.update(encoder=[{"kind": "__class__"}]),
        lambda config: config.update(surprise=1),
        lambda config: config["encoder"][0].update(kernel_size=[[3], 3]),
        lambda config: config["encoder"].pop(),
    ],
)
def test_wrong_config(change, path, contents):
    refused(path, with_config(contents, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["encoder"][-1].update(units=10**9),
        lambda config: config["encoder"][0].update(filters=10**8),
        lambda config: config["encoder"][0].update(kernel_size=[30000, 30000]),
        lambda config: config.update(input_shape=[30000, 30000, 1]),
        lambda config: config.update(latent_dim=10**9),
        lambda config: config.update(num_classes=10**9),
        lambda config: config.update(input_shape=[2**20, 2**20, 2**20]),
    ],
)
def test_sizes_the_file_has_no_weights_for_are_not_allocated(change, path, contents):
    """Gigabytes would show in the peak of resident memory, which never goes down."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, with_config(contents, change))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_the_format_keeps_empty_and_scalar_tensors(tmp_path):
    tensors = {"scalar": np.array(2.5), "empty": np.zeros((0, 3), np.float32), "matrix": np.eye(3, dtype=np.float32)}
    _safetensors.write(tmp_path / "file", tensors, {"a": "ü"})
    found, metadata = _safetensors.read(tmp_path / "file")
    assert metadata["a"] == "ü"
    assert {name: (value.shape, value.dtype, value.tobytes()) for name, value in found.items()} == {
        name: (value.shape, value.dtype, value.tobytes()) for name, value in tensors.items()
    }
