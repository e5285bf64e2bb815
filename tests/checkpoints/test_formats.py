"""Weights of other frameworks, there and back, and files that Keras, flax and ONNX wrote."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import stackgru
from stackgru.checkpoints.files import read
from stackgru.checkpoints.formats import FLAX_LINEN, FLAX_NNX, FORMATS, KERAS, layers_in
from stackgru.checkpoints.state_dict import ConversionError
from stackgru.gru.parameters import gru_layers
from tests.helpers import invoke

h5py = pytest.importorskip("h5py", reason="h5py is not installed")
np = pytest.importorskip("numpy", reason="NumPy is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")
reference = pytest.importorskip("onnx.reference", reason="onnx is not installed")
pytest.importorskip("msgpack", reason="msgpack is not installed")
safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")

DATA = Path(__file__).parent / "data"
STACKED = {"stacked.keras": "--stack gru,gru_1", "stacked.msgpack": ""}


@pytest.fixture
def gru():
    """Two layers of the sizes of DATA, with biases that matter."""
    torch.manual_seed(7)
    made = nn.GRU(4, 5, 2)
    for one in made.parameters():
        nn.init.normal_(one, std=0.5)
    return made


def converted(*words):
    result = invoke("convert", *words)
    assert result.exit_code == 0, result.output
    return result.output


def loaded(path, prefix, **options):
    """Return the nn.GRU of a file whose keys begin so."""
    state = safetensors.load_file(path) if path.suffix == ".safetensors" else torch.load(path)
    made = nn.GRU(4, 5, **{"batch_first": True, **options})
    made.load_state_dict({key.removeprefix(prefix): value for key, value in state.items()})
    return made


def assert_gives(gru, name):
    """Assert that an nn.GRU gives what the model of a file of DATA gave in its framework."""
    own = np.load(DATA / f"{name}.npz")
    x, y = torch.from_numpy(own["x"]), torch.from_numpy(own["y"])
    with torch.no_grad():
        _, hn = gru(x)
    assert stackgru.compare(gru, x, None, y, hn).within


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back_a_layer_computes_the_same(name, bias, gru):
    form, (layer, _) = FORMATS[name], gru_layers(gru.requires_grad_(False).double())
    layer = {key: value for key, value in layer.items() if bias or "weight" in key}
    if form is FLAX_NNX and bias:
        layer["bias_hh"][10:] = 0  # it has none
    stored = form.stored(layer)
    assert form.fits(stored)
    assert [
        (one, keys)
        for one, found, keys in layers_in({f"m.{k}": v for k, v in stored.items()})
        if found is form
    ] == [("m", {key: f"m.{key}" for key in stored})]
    again = form.layer(stored)
    for side in "ih":
        assert torch.equal(again[f"weight_{side}h"], layer[f"weight_{side}h"])
    if bias:
        sums, others = (one["bias_ih"] + one["bias_hh"] for one in (layer, again))
        assert torch.equal(sums[:10], others[:10])
        for key in ("bias_ih", "bias_hh"):
            assert torch.equal(again[key][10:], layer[key][10:])


def test_what_has_no_place_is_said(gru):
    (layer, _) = gru_layers(gru)
    with pytest.raises(ConversionError, match=r"flax\.nnx\.GRUCell has no b_hn, which is not zero"):
        FLAX_NNX.stored(layer)


@pytest.mark.parametrize("wrong", ["lstm", "short", "one bias", "half a bias"])
def test_what_is_no_gru_is_not_taken_for_one(wrong):
    shapes = {"kernel": (4, 15), "recurrent_kernel": (5, 15), "bias": (2, 15)}
    shapes |= {
        "lstm": {"kernel": (4, 20), "recurrent_kernel": (5, 20), "bias": (20,)},
        "short": {"kernel": (4, 14)},
        "one bias": {"bias": (15,)},
        "half a bias": {"bias": (1, 15)},
    }[wrong]
    assert not KERAS.fits({name: torch.zeros(shape) for name, shape in shapes.items()})
    assert not FLAX_LINEN.fits({name: torch.zeros(shape) for name, shape in shapes.items()})


@pytest.mark.parametrize("name", STACKED)
def test_a_model_of_another_framework_becomes_an_nn_gru(name, tmp_path):
    out = tmp_path / "gru.pt"
    said = converted(DATA / name, out, "--to", "gru", "--name", "rnn", *STACKED[name].split())
    assert said.endswith(f"'rnn' computes bit by bit what it computed in {DATA / name}.\n")
    assert_gives(loaded(out, "rnn.", num_layers=2), name)


def test_one_that_goes_both_ways(tmp_path):
    source, out, again = DATA / "both-ways.keras", tmp_path / "gru.pt", tmp_path / "again.keras"
    refused = invoke("convert", source, out, "--to", "gru").output
    ways = "bidirectional.forward_layer,bidirectional.backward_layer"
    assert f"--both-ways {ways} --name gru" in refused, "forward comes first"
    converted(source, out, "--to", "gru", "--both-ways", ways, "--name", "rnn")
    assert_gives(loaded(out, "rnn.", bidirectional=True), "both-ways.keras")
    converted(out, again, "--like", source)
    assert same_arrays(read(source).cells, read(again).cells)


def same_arrays(one, other):
    assert one.arrays.keys() == other.arrays.keys()
    return all(torch.equal(one.arrays[name], other.arrays[name]) for name in one.arrays)


@pytest.mark.parametrize("name", STACKED)
def test_an_nn_gru_goes_into_a_copy(name, gru, tmp_path):
    """What comes back is the same again, or as near as sums of biases allow."""
    source, out, back = (tmp_path / one for one in ("gru.pt", f"new.{name}", "back.pt"))
    torch.save({f"m.{key}": value for key, value in gru.state_dict().items()}, source)
    said = converted(source, out, "--like", DATA / name)
    how = "bit by bit" if name.endswith("keras") else "within rounding"
    assert said.endswith(f"'m' computes {how} what it computed in {source}.\n")
    converted(out, back, "--to", "gru", "--name", "m", *STACKED[name].split())
    again, x = loaded(back, "m.", num_layers=2, batch_first=False), torch.randn(6, 3, 4)
    with torch.no_grad():
        results = again(x)
    assert stackgru.compare(gru, x, None, *results).within
    assert not same_arrays(read(DATA / name).cells, read(out).cells)


@pytest.mark.parametrize("end", ["npz", "safetensors"])
def test_arrays_alone(end, gru, tmp_path):
    layers = gru_layers(gru.requires_grad_(False))
    arrays = {
        f"net/cell_{number}/{name.replace('.', '/')}": value.contiguous()
        for number, layer in enumerate(layers)
        for name, value in FLAX_LINEN.stored(layer).items()
    } | {"net/out/kernel": torch.ones(2, 2)}
    like, out = tmp_path / f"like.{end}", tmp_path / f"new.{end}"
    if end == "npz":
        np.savez(like, **{name: value.numpy() for name, value in arrays.items()})
    else:
        safetensors.save_file(arrays, like, metadata={"a": "b"})
    there = tmp_path / ("gru.pt" if end == "npz" else "gru.safetensors")
    converted(like, there, "--to", "gru", "--name", "m")
    converted(there, out, "--like", like)
    assert same_arrays(read(like).cells, read(out).cells)
    assert "net.out.kernel" in read(out).cells.arrays, "what is no GRU is kept"


def graph(gru, *, inputs=("W", "R", "B"), **attributes):
    """Return an ONNX graph with a GRU node a layer; its weights are initializers."""
    helper, directions = onnx.helper, 1 + gru.bidirectional
    layers, initializers, nodes = gru_layers(gru), [], []
    if gru.bidirectional:
        layers = [*zip(layers[::2], layers[1::2], strict=True)]
    else:
        layers = [(layer,) for layer in layers]
    below = "x"
    for number, ways in enumerate(layers):
        for part in "WRB":
            stored = [FORMATS["onnx"].stored(way)[part].detach().numpy() for way in ways]
            initializers.append(onnx.numpy_helper.from_array(np.stack(stored), f"{part}{number}"))
        y, above = f"y{number}", f"x{number + 1}"
        given = [below, *(f"{part}{number}" if part in inputs else "x" for part in "WRB")]
        nodes += [
            helper.make_node(
                "GRU",
                given,
                [y, f"h{number}"],
                name=f"/gru/GRU_{number}",
                hidden_size=gru.hidden_size,
                direction="bidirectional" if directions == 2 else "forward",
                **{"linear_before_reset": 1, **attributes},
            ),
            helper.make_node("Transpose", [y], [f"t{number}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"t{number}", "shape"], [above]),
        ]
        below = above
    initializers.append(onnx.numpy_helper.from_array(np.array([0, 0, -1]), "shape"))
    values = [helper.make_tensor_value_info(name, 1, None) for name in ("x", below)]
    made = helper.make_graph(nodes, "gru", values[:1], values[1:], initializers)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_graph_of_onnx(bidirectional, tmp_path, gru):
    if bidirectional:
        gru = nn.GRU(4, 5, 1, bidirectional=True)
    like, there, back = (tmp_path / one for one in ("a.onnx", "gru.pt", "b.onnx"))
    onnx.save(graph(gru), like)
    names = "gru.GRU_0.forward,gru.GRU_0.backward" if bidirectional else "gru.GRU_0,gru.GRU_1"
    how = ("--both-ways" if bidirectional else "--stack", names)
    converted(like, there, "--to", "gru", *how, "--name", "m")
    again = loaded(there, "m.", num_layers=gru.num_layers, bidirectional=bidirectional)
    assert all(map(torch.equal, again.parameters(), gru.parameters()))
    other = nn.GRU(4, 5, gru.num_layers, bidirectional=bidirectional)
    torch.save({f"m.{key}": value for key, value in other.state_dict().items()}, there)
    converted(there, back, "--like", like, "--force", *how)
    x = torch.randn(6, 3, 4)
    (output,) = reference.ReferenceEvaluator(onnx.load(back)).run(None, {"x": x.numpy()})
    with torch.no_grad():
        _, hn = other(x)
    assert stackgru.compare(other, x, None, torch.from_numpy(output), hn).within


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"linear_before_reset": 0}, "has linear_before_reset = 0: the reset gate is applied"),
        ({"clip": 3.0}, "has clip = 3.0"),
        ({"activations": ["HardSigmoid", "Tanh"]}, "has activations hardsigmoid, tanh"),
        ({"inputs": ("W", "R")}, "gets B from other nodes, not from initializers"),
    ],
)
def test_a_graph_of_another_equation_is_refused(changes, said, gru, tmp_path):
    onnx.save(graph(gru, **changes), tmp_path / "a.onnx")
    result = invoke("convert", tmp_path / "a.onnx", tmp_path / "gru.pt", "--to", "gru")
    assert result.exit_code == 1
    assert said in result.output
    assert not (tmp_path / "gru.pt").exists()


def of_keras(path, config, arrays):
    """Write a file as Keras does, with one GRU."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for number, value in enumerate(arrays):
            file[f"layers/gru/cell/vars/{number}"] = value
    if path.suffix == ".h5":
        path.write_bytes(content.getvalue())
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"layers": [config]}))
        archive.writestr("model.weights.h5", content.getvalue())


@pytest.mark.parametrize(
    ("name", "own", "bias", "said"),
    [
        ("a.keras", {"reset_after": False}, (15,), "'g' in a.keras has reset_after=False"),
        ("a.keras", {"recurrent_activation": "hard_sigmoid"}, (2, 15), "hard_sigmoid"),
        ("a.keras", {"activation": "relu"}, (2, 15), "has activation='relu'; nn.GRU has 'tanh'"),
        ("a.weights.h5", {}, (15,), "'gru' in a.weights.h5 has one bias: reset_after is False"),
        ("a.weights.h5", {}, None, "only a model's .keras file tells whether its reset gate"),
        ("a.weights.h5", {}, (2, 14), "no GRU found in a.weights.h5"),
    ],
)
def test_another_equation_of_keras_is_refused(name, own, bias, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shapes = [(4, 15), (5, 15), *([bias] if bias else [])]
    config = {"class_name": "GRU", "config": {"name": "g", **own}}
    of_keras(Path(name), config, [np.ones(one, "float32") for one in shapes])
    result = invoke("convert", name, "gru.pt", "--to", "gru")
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())
    assert not Path("gru.pt").exists()


def test_without_biases_the_config_tells(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"class_name": "GRU", "config": {"name": "g", "reset_after": True}}
    of_keras(Path("a.keras"), config, [np.ones(one, "float32") for one in ((4, 15), (5, 15))])
    assert "'gru' computes bit by bit" in converted("a.keras", "gru.pt", "--to", "gru")


def test_layers_are_in_the_order_of_their_numbers(tmp_path):
    path = tmp_path / "deep.weights.h5"
    with h5py.File(path, "w") as file:
        for number in range(12):
            name = f"gru_{number}" if number else "gru"
            for at, shape in enumerate([(4, 12), (4, 12), (2, 12)]):
                file[f"layers/{name}/cell/vars/{at}"] = np.full(shape, number, "float32")
    own = nn.GRU(4, 4, 12)
    torch.save({f"m.{key}": value for key, value in own.state_dict().items()}, tmp_path / "m.pt")
    converted(tmp_path / "m.pt", tmp_path / "new.weights.h5", "--like", path)
    state = read(tmp_path / "new.weights.h5").content
    for number in range(12):
        name = f"gru_{number}" if number else "gru"
        assert torch.equal(state[f"{name}.weight_hh"], getattr(own, f"weight_hh_l{number}"))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("m.pt new.keras", 2, "One of --to and --like is needed"),
        ("m.pt new.keras --to gru --like like.keras", 2, "One of --to and --like is needed"),
        ("m.pt new.h5 --like like.keras", 2, "so its name ends in .keras"),
        ("m.pt new.pt --like m.pt", 1, "m.pt is torch's own; --to converts it"),
        ("one.pt new.keras --like like.keras", 1, "there is no 'm.grus.0' in the other file"),
        ("wide.pt new.keras --like like.keras", 1, "has kernel of (4, 15) in torch.float32, not"),
        ("double.pt new.keras --like like.keras", 1, "in torch.float32, not of (4, 15) in torch."),
    ],
)
def test_what_does_not_fit_is_said(words, status, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATA / "stacked.keras", "like.keras")
    made = {"m": nn.GRU(4, 5, 2), "one": nn.GRU(4, 5), "wide": nn.GRU(3, 5, 2)}
    for name, one in (made | {"double": nn.GRU(4, 5, 2).double()}).items():
        torch.save({f"m.{key}": value for key, value in one.state_dict().items()}, f"{name}.pt")
    result = invoke("convert", *words.split())
    assert result.exit_code == status, result.output
    assert said in " ".join(result.output.split())
    assert not Path(words.split()[1]).exists()


@pytest.mark.parametrize("name", ["a.keras", "a.h5", "a.msgpack", "a.onnx", "a.npz"])
def test_a_damaged_file_is_one_sentence(name, tmp_path):
    whole = {"a.keras": DATA / "stacked.keras", "a.msgpack": DATA / "stacked.msgpack"}
    whole |= {"a.npz": DATA / "stacked.keras.npz"}
    if name in whole:
        data = whole[name].read_bytes()
    else:
        data = b"\x89HDF\r\n\x1a\n" + bytes(50) if name == "a.h5" else b"\x0a\xff\xff nothing"
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    result = invoke("convert", tmp_path / name, tmp_path / "gru.pt", "--to", "gru")
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "itself failed" not in result.output
    assert not (tmp_path / "gru.pt").exists()


@pytest.mark.parametrize("name", ["model.onnx", "model.msgpack"])
@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "is empty"), (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer")],
)
def test_a_file_that_is_something_else_is_not_called_damaged(name, content, text, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConversionError, match=text):
        read(tmp_path / name)
