"""PyTorch models: right, repeatable, and never anybody else's program."""

import io
import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")

from engine.contract.errors import EngineError, ErrorCode  # noqa: E402 - after the skip
from engine.geo.tiling import TileRule  # noqa: E402 - after the skip
from engine.models.runtime import open_model  # noqa: E402 - after the skip
from engine.models.torch_graph import load_program  # noqa: E402 - after the skip
from engine.models.torch_script import load_script  # noqa: E402 - after the skip
from engine.models.torch_settings import keep_pages  # noqa: E402 - after the skip

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning"),
]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA or AMD GPU")
FORMATS = ("torchscript", "pt2")


class Net(torch.nn.Module):
    """Convolutions, a normalisation, a way down and up, and an operation in place."""

    def __init__(self, channels=2, classes=3, width=8):
        super().__init__()
        self.first = torch.nn.Conv2d(channels, width, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(width)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 1.5)
        self.last = torch.nn.Conv2d(2 * width, classes, 3, padding=1)

    def forward(self, x):
        x = torch.relu_(self.norm(self.first(x)))
        deep = torch.nn.functional.avg_pool2d(x, 2)
        up = torch.nn.functional.interpolate(deep, size=x.shape[2:], mode="nearest")
        return self.last(torch.cat([x, up], 1))


class Greedy(torch.nn.Module):
    """Changes what it is given."""

    def forward(self, x):
        x.mul_(2)
        return torch.cat([x, x[:, :1]], 1)


class Viewing(torch.nn.Module):
    """Takes numbers in one order only."""

    def forward(self, x):
        flat = torch.nn.functional.avg_pool2d(x, 1).view(x.shape[0], -1)
        return torch.cat([x, flat.view(x.shape)[:, :1]], 1)


class Mixed(torch.nn.Module):
    """What networks are made of besides convolutions."""

    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Linear(8, 24)
        self.norm = torch.nn.LayerNorm(8)
        self.up = torch.nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.into = torch.nn.Conv2d(2, 8, 2, stride=2)
        self.last = torch.nn.Conv2d(13, 3, 1)
        self.register_buffer("scale", torch.tensor([0.5]), persistent=False)

    def forward(self, x):
        n, _, height, width = x.shape
        small = torch.nn.functional.gelu(self.into(x))
        tokens = self.norm(small.flatten(2).transpose(1, 2))
        query, key, value = self.mix(tokens).chunk(3, dim=-1)
        tokens = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens.transpose(1, 2).reshape(n, 8, height // 2, width // 2)
        rows = torch.arange(height, device=x.device, dtype=torch.float32) / height
        rows = rows.view(1, 1, -1, 1).expand(n, 1, -1, width)
        most, _where = x.max(dim=1, keepdim=True)
        mean = torch.nn.functional.adaptive_avg_pool2d(x, 1).expand_as(x) * self.scale
        flags = torch.where(x[:, :1] > 0, 1.0, -1.0)
        wide = torch.nn.functional.interpolate(
            small, scale_factor=2.0, mode="bilinear", align_corners=False
        )
        return self.last(torch.cat([self.up(tokens) + wide, rows, most, mean, flags], 1))


def make(kind):
    torch.manual_seed(0)
    return kind().eval()


def script_of(net, size=32):
    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, torch.rand(1, 2, size, size), check_trace=False), out)
    return out.getvalue()


def program_of(net, batch=2, *, free=True):
    half = torch.export.Dim("half", min=4, max=1024)
    other = torch.export.Dim("other", min=4, max=1024)
    shapes = ({0: torch.export.Dim("n"), 2: 2 * half, 3: 2 * other},) if free else None
    out = io.BytesIO()
    given = (torch.rand(batch, 2, 32, 48 if free else 32),)
    torch.export.save(torch.export.export(net, given, dynamic_shapes=shapes), out)
    return out.getvalue()


@pytest.fixture(scope="module")
def net():
    return make(Net)


@pytest.fixture(scope="module")
def files(net):
    return {"torchscript": script_of(net), "pt2": program_of(net)}


@pytest.fixture
def opened(make_card, tmp_path):
    """Open bytes as a model of a format."""

    def go(content, kind, device="cpu", threads=1, rule=None):
        path = tmp_path / "un modèle"
        path.write_bytes(content)
        card = make_card(content)
        card = replace(card, file=replace(card.file, format=kind), tiling=rule or card.tiling)
        return open_model(card, path, device, threads)

    return go


@pytest.fixture
def batch():
    return np.random.default_rng(1).normal(size=(5, 2, 32, 32)).astype(np.float32)


def expected(net, batch):
    with torch.inference_mode():
        return net(torch.tensor(batch)).numpy()


def refused(action, *args, **options):
    with pytest.raises(EngineError) as caught:
        action(*args, **options)
    assert "\n" not in caught.value.message
    return caught.value


def edited(content, changes):
    """An archive with other members; a function gets the JSON of one and changes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            data = old.read(name)
            change = changes.get(name.partition("/")[2])
            if callable(change):
                parsed = json.loads(data)
                change(parsed)
                data = json.dumps(parsed).encode()
            new.writestr(name, change if isinstance(change, bytes) else data)
        for name, data in changes.items():
            if f"{root}/{name}" not in old.namelist():
                new.writestr(f"{root}/{name}", data)
    return out.getvalue()


class Evil:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


# --- scores -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_scores_are_the_networks(opened, net, files, batch, kind):
    model = opened(files[kind], kind)
    scores = model.predict(batch)
    assert model.device == "cpu"
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected(net, batch), atol=1e-5)
    assert model.predict(batch[:0]).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_tiles_scores_do_not_depend_on_its_neighbours(opened, files, batch, kind):
    model = opened(files[kind], kind)
    together = model.predict(batch)
    alone = np.concatenate([model.predict(tile[None]) for tile in batch])
    assert together.tobytes() == alone.tobytes()
    assert opened(files[kind], kind, threads=2).predict(batch).tobytes() == together.tobytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_predict_from_several_threads(opened, files, batch, kind):
    model = opened(files[kind], kind)
    wanted = [model.predict(tile[None]) for tile in batch]
    found = [None] * len(batch)

    def go(i):
        for _ in range(10):
            found[i] = model.predict(batch[i : i + 1])

    threads = [threading.Thread(target=go, args=(i,)) for i in range(len(batch))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_other_sizes_of_tile(opened, net, files):
    batch = np.random.default_rng(2).random((2, 2, 64, 96), np.float32)
    for kind in FORMATS:
        scores = opened(files[kind], kind).predict(batch)
        np.testing.assert_allclose(scores, expected(net, batch), atol=1e-5)


@pytest.mark.parametrize("kind", FORMATS)
def test_attention_lists_and_lengths(opened, batch, kind):
    net = make(Mixed)
    content = script_of(net) if kind == "torchscript" else program_of(net)
    scores = opened(content, kind).predict(batch)
    np.testing.assert_allclose(scores, expected(net, batch), atol=1e-5)


def test_a_program_of_one_shape(opened, net, batch):
    content = program_of(net, 4, free=False)
    model = opened(content, "pt2", rule=TileRule(32, 4, 4, fixed=True))
    np.testing.assert_allclose(model.predict(batch), expected(net, batch), atol=1e-5)
    error = refused(opened, content, "pt2", rule=TileRule(64, 4, 4, fixed=False))
    assert error.code is ErrorCode.MODEL_INVALID
    assert "takes [4, 2, 32, 32]" in error.message


@pytest.mark.parametrize("kind", FORMATS)
def test_a_network_that_changes_its_input(opened, batch, kind):
    net = make(Greedy)
    content = script_of(net) if kind == "torchscript" else program_of(net)
    before = batch.copy()
    scores = opened(content, kind).predict(batch)
    assert np.array_equal(batch, before)
    assert np.array_equal(scores[:, :2], 2 * before)


def test_a_network_that_needs_one_order_of_numbers(opened, batch):
    model = opened(script_of(make(Viewing)), "torchscript")
    assert np.array_equal(model.predict(batch)[:, :2], batch)


# --- what does not fit ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_bands_and_classes_unlike_the_cards(opened, kind):
    class Bare(torch.nn.Module):
        def forward(self, x):
            return x * 2

    content = script_of(Bare()) if kind == "torchscript" else program_of(Bare())
    error = refused(opened, content, kind)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "(1, 2," in error.message


def test_a_network_of_other_bands(opened):
    torch.manual_seed(0)
    wide = Net(channels=4).eval()
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(wide), out)
    error = refused(opened, out.getvalue(), "torchscript")
    assert error.code is ErrorCode.MODEL_INVALID
    assert "4 channels" in error.message


def test_a_program_in_training_mode(opened):
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.Dropout(0.5))
    assert "training" in refused(opened, program_of(net), "pt2").message


@pytest.mark.parametrize("kind", [*FORMATS, "safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello world", bytes(1000), b"PK\x03\x04" + bytes(99)])
def test_a_file_that_is_no_model(opened, kind, content):
    assert refused(opened, content, kind).code is ErrorCode.MODEL_INVALID


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_model(opened, files, kind):
    content = bytearray(files[kind])
    for place in range(64, len(content) - 30, 97):
        content[place] ^= 0x55
    assert refused(opened, bytes(content), kind).code is ErrorCode.MODEL_INVALID
    assert refused(opened, files[kind][:-40], kind).code is ErrorCode.MODEL_INVALID


def test_a_closed_model_and_a_wrong_batch(opened, files, batch):
    model = opened(files["torchscript"], "torchscript")
    for bad in (batch[:, :1], batch.astype(np.float64), batch[0]):
        assert refused(model.predict, bad).code is ErrorCode.MODEL_FAILED
    model.close()
    assert refused(model.predict, batch).code is ErrorCode.MODEL_FAILED


def test_memory_that_is_not_there(opened, batch):
    class Huge(torch.nn.Module):
        def forward(self, x):
            return x.expand(1073741824, 2, x.shape[2], x.shape[3]).contiguous()

    out = io.BytesIO()
    torch.jit.save(torch.jit.script(Huge()), out)
    error = refused(opened, out.getvalue(), "torchscript")
    assert error.code is ErrorCode.OUT_OF_MEMORY


# --- nobody's program -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("way", ["torch", "old torch", "pickle"])
def test_pickles_are_refused_and_never_run(opened, tmp_path, kind, way):
    out = io.BytesIO()
    evil = Evil(tmp_path / "ran")
    if way == "pickle":
        pickle.dump(evil, out)
    else:
        torch.save(evil, out, _use_new_zipfile_serialization=way == "torch")
    error = refused(opened, out.getvalue(), kind)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "torch.export.save" in error.message
    assert not (tmp_path / "ran").exists()


def test_a_program_of_an_older_layout(opened):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("serialized_exported_program.json", b"{}")
    assert "export it again" in refused(opened, out.getvalue(), "pt2").message


def test_sample_inputs_are_never_read(opened, files, tmp_path, net, batch):
    evil = edited(
        files["pt2"],
        {"data/sample_inputs/model.pt": pickle.dumps(Evil(tmp_path / "ran"))},
    )
    np.testing.assert_allclose(opened(evil, "pt2").predict(batch), expected(net, batch), atol=1e-5)
    assert not (tmp_path / "ran").exists()


def test_weights_as_pickles_are_refused(files, tmp_path):
    def change(table):
        first = next(iter(table["config"].values()))
        first["use_pickle"] = True

    evil = edited(files["pt2"], {"data/weights/model_weights_config.json": change})
    with pytest.raises(ValueError, match="pickle"):
        load_program(evil)


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.mkdir",
        "torch.hub.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.load_library",
        "torch.ops.higher_order.cond",
        "_operator.methodcaller",
        "#evil:op",
        "os.mkdir",
    ],
)
def test_a_program_calls_nothing_but_operators(files, target):
    def change(program):
        program["graph_module"]["graph"]["nodes"][0]["target"] = target

    with pytest.raises(ValueError, match="lets no model do"):
        load_program(edited(files["pt2"], {"models/model.json": change}))


def test_lengths_are_not_evaluated(opened, files, tmp_path, net, batch):
    code = f"__import__('os').mkdir({str(tmp_path / 'ran')!r})"

    def change(program):
        for value in program["graph_module"]["graph"]["sym_int_values"].values():
            value["as_expr"]["expr_str"] = code
        for tensor in program["graph_module"]["graph"]["tensor_values"].values():
            for size in tensor["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = code

    evil = edited(files["pt2"], {"models/model.json": change})
    assert code in zipfile.ZipFile(io.BytesIO(evil)).read("archive/models/model.json").decode()
    np.testing.assert_allclose(opened(evil, "pt2").predict(batch), expected(net, batch), atol=1e-5)
    assert not (tmp_path / "ran").exists()


def test_weights_shorter_than_the_table_says(files):
    def change(table):
        first = next(iter(table["config"].values()))
        first["tensor_meta"]["sizes"][0]["as_int"] = 10**9

    with pytest.raises(ValueError, match="shorter"):
        load_program(edited(files["pt2"], {"data/weights/model_weights_config.json": change}))


def test_a_script_reads_and_writes_no_files(tmp_path):
    class Reading(torch.nn.Module):
        def forward(self, x):
            return x + torch.from_file("secret", shared=False, size=1)

    class Writing(torch.nn.Module):
        def forward(self, x):
            torch.ops.aten.save(x, "stolen")
            return x

    for kind in (Reading, Writing):
        out = io.BytesIO()
        torch.jit.save(torch.jit.script(kind()), out)
        with pytest.raises(ValueError, match="lets no model do"):
            load_script(out.getvalue())


def test_a_script_runs_nothing_while_it_is_loaded():
    class Loading(torch.nn.Module):
        @torch.jit.export
        def __getstate__(self):
            return (1, self.training)

        @torch.jit.export
        def __setstate__(self, state: tuple[int, bool]):
            self.training = state[1]

        def forward(self, x):
            return x

    out = io.BytesIO()
    torch.jit.save(torch.jit.script(Loading()), out)
    with pytest.raises(ValueError, match="while it is loaded"):
        load_script(out.getvalue())


def test_a_script_brings_no_native_objects(files):
    odd = b"c__torch__.torch.classes.quantized\nLinearPackedParamsBase\n."
    with pytest.raises(ValueError, match="native library"):
        load_script(edited(files["torchscript"], {"constants.pkl": odd}))


# --- devices and memory -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "CPU", "tensorrt", "cuda:99"])
def test_devices_that_cannot_be_used(opened, files, name):
    assert refused(opened, files["pt2"], "pt2", name).code is ErrorCode.DEVICE_UNAVAILABLE


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_auto_is_the_cpu_where_there_is_no_gpu(opened, files):
    if not torch.backends.mps.is_available():
        assert opened(files["pt2"], "pt2", "auto").device == "cpu"
        assert refused(opened, files["pt2"], "pt2", "mps").code is ErrorCode.DEVICE_UNAVAILABLE


def test_auto_goes_on_to_the_cpu_when_the_gpu_fails(opened, files, batch, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if torch.cuda.device_count():
        pytest.skip("this machine has a GPU, which does not fail")
    model = opened(files["pt2"], "pt2", "auto")
    assert model.device == "cpu"
    assert model.notes[0].startswith("cuda:0 could not be used")
    assert model.predict(batch).shape == (5, 3, 32, 32)


@needs_gpu
@pytest.mark.parametrize("kind", FORMATS)
def test_scores_on_a_gpu(opened, net, files, batch, kind):
    model = opened(files[kind], kind, "auto")
    assert model.device == "cuda:0"
    np.testing.assert_allclose(model.predict(batch), expected(net, batch), atol=1e-4)
    assert model.predict(batch).tobytes() == model.predict(batch).tobytes()
    assert not torch.backends.cudnn.allow_tf32


CHURN = """
    import resource, sys
    import numpy as np
    from pathlib import Path
    from engine.models.cardfile import read_card
    from engine.models.runtime import open_model
    model = open_model(read_card(Path(sys.argv[1])), Path(sys.argv[2]), "cpu")
    tile = np.zeros((1, 2, 512, 512), np.float32)
    for _ in range(6):
        model.predict(tile)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(5):
        model.predict(tile)
    after = resource.getrusage(resource.RUSAGE_SELF)
    print((after.ru_minflt - before.ru_minflt) // 5, (after.ru_maxrss - before.ru_maxrss) // 1024)
"""


@pytest.mark.skipif(not keep_pages(), reason="needs the GNU C library")
def test_pages_are_kept_from_pass_to_pass(make_card, tmp_path):
    from engine.models.cardfile import card_to_json  # noqa: PLC0415 - here alone

    torch.manual_seed(0)
    content = script_of(Net(width=64).eval())
    path = tmp_path / "net.ts"
    path.write_bytes(content)
    card = make_card(content)
    card = replace(card, file=replace(card.file, format="torchscript"))
    place = tmp_path / "card.json"
    place.write_text(json.dumps(card_to_json(card)), "utf-8")
    checkout = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHURN), str(place), str(path)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    faults, grown_mib = map(int, done.stdout.split())
    assert faults < 4000  # one activation alone has 16 384 pages
    assert grown_mib <= 128  # two activations; what was not given back would be ten
