"""PyTorch's files as they should not be; see ``broken_models``."""

import contextlib
import copy
import io
import json
import os
import pickle
import pickletools
import random
import struct
import sys
import warnings
import zipfile

import torch
from broken_models import SEED, WRONG, Case, damaged, safetensors

MIB = 2**20
CONFIG = {"_model_class": "Unet", "encoder_name": "mobilenet_v2", "in_channels": 2, "classes": 3}


class Evil:
    """A pickle of this makes the folder ``canary`` when it is loaded."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


def cases_of(group, canary, folder):
    torch.manual_seed(SEED)
    warnings.simplefilter("ignore")
    makers = {
        "torchscript": script_cases,
        "pt2": program_cases,
        "safetensors": weights_cases,
        "state_dict": state_cases,
    }
    return makers[group](canary)


# --- archives ---------------------------------------------------------------------------------


def members_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(members, how=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", how) as archive:
        warnings.simplefilter("ignore")  # of names that stand there twice
        for name, content in members if isinstance(members, list) else members.items():
            archive.writestr(zipfile.ZipInfo(name), content, how)
    return out.getvalue()


def with_member(content, name, data):
    """The archive with one member more, or another one."""
    members = members_of(content)
    root = next(iter(members)).partition("/")[0]
    return archive_of({**members, f"{root}/{name}": data})


def archives(content, kind, canary):
    """Names that lead elsewhere, sizes that lie, pieces that grow."""
    members = list(members_of(content).items())
    root = members[0][0].partition("/")[0]
    names = (
        f"{root}/../../evil",
        "/tmp/evil",
        "../evil",
        f"{root}/..\\evil",
        "C:/evil",
        f"{root}/a:b",
        f"{root}/code/../../../evil.py",
        "evil",
        f"{root}/",
        f"{root}//",
        f"{root}/" + "a" * 60_000,
        f"{root}/code/\u202egnp.py",
        f'{root}/"',
        members[0][0],
        f"other/{members[0][0]}",
    )
    for name in names:
        yield _of(kind, f"member {name[:40]!r}", archive_of([*members, (name, b"evil")]))
    zeros = bytes(300 * MIB)
    bomb = archive_of([*members, (f"{root}/data/99", zeros)], zipfile.ZIP_DEFLATED)
    yield _of(kind, "bomb", bomb, refused=True)
    for how in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield _of(kind, f"packed by {how}", archive_of(members, how), refused=True)
    yield _of(
        kind, "many members", archive_of([*members, *((f"{root}/{i}", b"") for i in range(5_000))])
    )
    yield _of(kind, "in another", archive_of({f"{root}/data.pkl": content}), refused=True)
    yield _of(kind, "encrypted", _patched(content, 8, b"\x01\x00"), refused=True)
    for size in (0, 1, 2**31, 2**32 - 2):
        yield _of(kind, f"size {size}", _patched(content, 24, struct.pack("<I", size)))
        yield _of(kind, f"place {size}", _patched(content, 42, struct.pack("<I", size)))
    yield _of(kind, "overlapping", _patched(content, 42, b"\0\0\0\0", every=True))
    yield _of(kind, "nothing in it", archive_of({}), refused=True)
    for name, data in pickles(canary).items():
        yield _of(kind, name, data, refused=True)


def _of(kind, name, content, **options):
    return Case(f"{kind} {name}", content, kind, **options)


def _patched(content, offset, data, *, every=False):
    """The table of contents with other bytes in its last entry, or in all of them."""
    broken, place = bytearray(content), content.rindex(b"PK\x01\x02")
    places = [place]
    while every and (place := content.rfind(b"PK\x01\x02", 0, place)) >= 0:
        places.append(place)
    for start in places:
        broken[start + offset : start + offset + len(data)] = data
    return bytes(broken)


def pickles(canary):
    """Ways to have a program run by whoever loads a pickle."""
    evil = Evil(canary)
    found = {f"pickle {n}": pickle.dumps(evil, n) for n in (0, 1, 2, 4, 5)}
    for name, new in (("archive", True), ("old file", False)):
        out = io.BytesIO()
        torch.save({"weight": evil}, out, _use_new_zipfile_serialization=new)
        found[f"pickle in an {name}"] = out.getvalue()
    out = io.BytesIO()
    torch.save(Net(), out)
    found["pickled network"] = out.getvalue()
    code = f"__import__('os').mkdir({str(canary)!r})"
    found["pickled call of eval"] = b"c__builtin__\neval\n(V" + code.encode() + b"\ntR."
    found["pickled call by build"] = (
        b"\x80\x04cos\nmkdir\n(V" + str(canary).encode() + b"\ni__main__\nx\n."
    )
    return found


# --- TorchScript ------------------------------------------------------------------------------


def script_of(net):
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(net.eval()), out)
    return out.getvalue()


def script_cases(canary):
    content = script_of(Net())
    yield Case("torchscript whole", content, "torchscript")
    yield from damaged(content, "torchscript", 16, 8, 10)
    yield from archives(content, "torchscript", canary)
    members = {n.partition("/")[2]: data for n, data in members_of(content).items()}
    for name, data in members.items():
        if name.endswith(".pkl"):
            yield from _numbers(content, name, data)
            evil = pickle.dumps(Evil(canary), 2)
            yield _of("torchscript", f"evil {name}", with_member(content, name, evil), refused=True)
        for new in (b"", b"\xff" * 50):
            shown = f"{name} as {len(new)} bytes {new[:1]!r}"
            yield _of("torchscript", shown, with_member(content, name, new))
    for name, data in {
        "tuples": b"\x80\x02K\x01" + b"\x85" * 100_000 + b".",
        "lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "places": b"\x80\x02K\x01r\xff\xff\xff\x7f.",
    }.items():
        shown = f"constants of endless {name}"
        yield _of("torchscript", shown, with_member(content, "constants.pkl", data), refused=True)
    code = next(name for name in members if name.endswith(".py"))
    for name, text in programs(canary).items():
        source = members[code].decode().replace("    conv = self.conv\n", text, 1)
        assert source != members[code].decode() or not text
        yield _of("torchscript", name, with_member(content, code, source.encode()))
    for name, text in {
        "brackets": "(" * 100_000,
        "minus": "x = " + "-" * 100_000 + "1",
        "lists": "x = " + "[" * 100_000,
        "names": "a." * 100_000,
        "not": "x = " + "not " * 100_000 + "1",
        "sums": "x = 1" + "+1" * 100_000,
        "blocks": "".join(" " * i + "if True:\n" for i in range(3000)),
        "text": "x = '" + "a" * MIB,
        "types": "x : " + "List[" * 50_000 + "int" + "]" * 50_000 + " = 1",
    }.items():
        source = members[code] + f"\n  def more(self) -> None:\n    {text}\n".encode()
        yield _of("torchscript", f"endless {name}", with_member(content, code, source))
    yield _of(
        "torchscript",
        "hooks of its own",
        with_member(content, code, _hooked(members[code])),
        refused=True,
    )


def _numbers(content, name, data):
    """Every number of a pickle as another one: sizes, steps and places of tensors."""
    for code, argument, place in pickletools.genops(data):
        lengths = {"BININT1": 2, "BININT2": 3, "BININT": 5}
        if code.name in lengths:
            for new in (-1, 65_536):
                changed = b"J" + struct.pack("<i", new)
                broken = data[:place] + changed + data[place + lengths[code.name] :]
                shown = f"{name} {argument} at {place} as {new}"
                yield _of("torchscript", shown, with_member(content, name, broken))


def programs(canary):
    """Steps before a forward pass that do more than compute."""
    place = str(canary)
    return {
        "a file written": f'    torch.save(x, "{place}")\n    conv = self.conv\n',
        "a file mapped": f'    _0 = torch.from_file("{place}", True, 9)\n    conv = self.conv\n',
        "a python call": f'    _0 = ops.os.mkdir("{place}")\n    conv = self.conv\n',
        "an unknown operator": "    _0 = ops.evil.sneak(x)\n    conv = self.conv\n",
        "an import": "    import os\n    conv = self.conv\n",
        "an exception": '    ops.prim.RaiseException("no")\n    conv = self.conv\n',
        "a native class": "    _0 = __torch__.torch.classes.rpc.Worker()\n    conv = self.conv\n",
        "memory without end": "    _0 = torch.zeros([1099511627776, 4])\n    conv = self.conv\n",
        "no such name": "    conv = self.nobody\n",
        "no sense": "    conv = (((\n",
    }


def _hooked(code):
    return code + b"\n  def __setstate__(self, state: int) -> None:\n    return None\n"


# --- exported programs ------------------------------------------------------------------------


def program_of(net):
    out = io.BytesIO()
    shape = {0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    with contextlib.redirect_stderr(io.StringIO()):
        exported = torch.export.export(
            net.eval(), (torch.rand(2, 2, 16, 24),), dynamic_shapes=(shape,)
        )
        torch.export.save(exported, out)
    return out.getvalue()


def program_cases(canary):
    content = program_of(Net())
    yield Case("pt2 whole", content, "pt2")
    yield from damaged(content, "pt2", 16, 8, 10)
    yield from archives(content, "pt2", canary)
    members = {n.partition("/")[2]: data for n, data in members_of(content).items()}
    for target in (
        "torch.os.system",
        "os.system",
        "builtins.eval",
        "torch.hub.load",
        "torch.ops.load_library",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "_operator.methodcaller",
        "torch.ops.higher_order.cond",
        "#x",
        "",
        "torch.ops.aten.__class__.mro",
        "a" * 9999,
        "torch.ops.aten.conv2d.__init__",
        "torch.ops.aten.conv2d.py_impl",
        "torch.ops.aten._dir.append",
    ):
        yield _of(
            "pt2",
            f"calls {target[:40]}",
            _program(content, members, lambda p, t=target: _target(p, t)),
            refused=True,
        )
    code = f"__import__('os').mkdir({str(canary)!r})"
    yield _of("pt2", "code as a length", _program(content, members, lambda p: _lengths(p, code)))
    for name, data in {
        "data/sample_inputs/model.pt": pickle.dumps(Evil(canary)),
        "data/constants/model_constants_config.json": pickle.dumps(Evil(canary)),
        "extra/x.py": code.encode(),
        "data/aotinductor/model/x.so": b"\x7fELF",
        "serialized_exported_program.json": b"{}",
        "byteorder": b"big",
        "models/model.json": b"[" * 100_000,
    }.items():
        yield _of("pt2", f"with {name}", with_member(content, name, data))
    dice = random.Random(SEED)
    for path in ("models/model.json", "data/weights/model_weights_config.json"):
        table = json.loads(members[path])
        places = list(_leaves(table))
        for _ in range(20):
            place, value = (
                dice.choice(places),
                dice.choice((*WRONG, 2**40, code, "../../../etc/passwd")),
            )
            changed = copy.deepcopy(table)
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            shown = f"{path} {'.'.join(map(str, place))[-60:]} {value!r:.30}"
            yield _of("pt2", shown, with_member(content, path, json.dumps(changed).encode()))


def _leaves(value, path=()):
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in inner:
        yield from _leaves(item, (*path, key))
    if path and not isinstance(value, dict | list):
        yield path


def _program(content, members, change):
    program = json.loads(members["models/model.json"])
    change(program)
    return with_member(content, "models/model.json", json.dumps(program).encode())


def _target(program, target):
    program["graph_module"]["graph"]["nodes"][0]["target"] = target


def _lengths(program, code):
    graph = program["graph_module"]["graph"]
    for tensor in graph["tensor_values"].values():
        for size in tensor["sizes"]:
            if "as_expr" in size:
                size["as_expr"]["expr_str"] = code


# --- weights ----------------------------------------------------------------------------------


def weights_cases(canary):
    settle_torchvision()
    tensor = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}
    meta = {"config": json.dumps(CONFIG)}
    whole = safetensors({"__metadata__": meta, "a": tensor})
    yield from damaged(whole, "safetensors", 15, 12, 10)
    for length in (0, 1, 2**31, 2**63, 2**64 - 1, len(whole) - 8, len(whole) - 7, 70):
        lie = safetensors({"__metadata__": meta, "a": tensor}, length=length)
        yield _of("safetensors", f"header of {length} bytes", lie, refused=True)
    changes = {
        "beyond the end": {"data_offsets": [0, 640], "shape": [160]},
        "backwards": {"data_offsets": [64, 0]},
        "negative": {"data_offsets": [-64, 0]},
        "huge place": {"data_offsets": [2**63, 2**63 + 64]},
        "huge shape": {"shape": [2**62, 2**62]},
        "shape that overflows": {"shape": [2**32, 2**32]},
        "negative shape": {"shape": [-4, -4]},
        "other shape": {"shape": [5, 5]},
        "unknown type": {"dtype": "Evil"},
        "no type": {"dtype": None},
        "no places": {"data_offsets": []},
        "texts": {"shape": "many"},
        "many axes": {"shape": [1] * 5000 + [16]},
    }
    for name, change in changes.items():
        broken = safetensors({"__metadata__": meta, "a": {**tensor, **change}})
        yield _of("safetensors", name, broken, refused=True)
    overlap = {"__metadata__": meta, "a": tensor, "b": tensor}
    gap = {"__metadata__": meta, "a": {**tensor, "shape": [4], "data_offsets": [48, 64]}}
    headers = {
        "overlapping": overlap,
        "a gap": gap,
        "a list": [],
        "a text": "x",
        "null": None,
        "empty": {},
        "tensors that are none": {"__metadata__": meta, "a": 7},
        "metadata as a list": {"__metadata__": [1]},
        "metadata of numbers": {"__metadata__": {"config": 7}},
        "many": {f"t{i}": tensor for i in range(50_000)},
    }
    for name, header in headers.items():
        yield _of("safetensors", f"header {name}", safetensors(header), refused=True)
    texts = {
        "deep": b"[" * 200_000,
        "deep objects": b'{"a":' * 200_000,
        "blanks": b" " * (8 * MIB),
        "bytes": bytes(range(256)),
        "half a character": b'{"\xff": 1}',
        "twice": b'{"a": 1, "a": 2}',
        "long number": b'{"a": ' + b"9" * 100_000 + b"}",
        "pickle": pickle.dumps(Evil(canary)),
    }
    for name, text in texts.items():
        yield _of("safetensors", f"header as {name}", safetensors(text), refused=True)
    yield from _configs(canary, tensor)
    for name, data in pickles(canary).items():
        yield _of("safetensors", name, data, refused=True)


def _configs(canary, tensor):
    """Settings of networks that nobody has, or that would fetch or fill something."""
    code = f"__import__('os').mkdir({str(canary)!r})"
    changes = [
        {"_model_class": "Evil"},
        {"_model_class": None},
        {"_model_class": ["Unet"]},
        {"_model_class": {}},
        {"_model_class": "__init__"},
        {"encoder_name": "tu-hf_hub:someone/else"},
        {"encoder_name": 7},
        {"encoder_name": "../../x"},
        {"encoder_name": "nobody"},
        {"encoder_name": None},
        {"encoder_name": "tu-nobody"},
        {"encoder_weights": "https://127.0.0.1:9/x"},
        {"classes": 10**12},
        {"classes": 10**7},
        {"classes": -1},
        {"classes": "3"},
        {"classes": 1e300},
        {"in_channels": 10**7},
        {"in_channels": 0},
        {"encoder_depth": 10**6},
        {"decoder_channels": [10**6] * 5},
        {"surprise": 1},
        {"decoder_channels": "many"},
        {"activation": code},
        {"activation": "nobody"},
        {"aux_params": 7},
        {"aux_params": {"classes": 10**9}},
        {"decoder_attention_type": code},
        {"decoder_use_norm": code},
        {"decoder_interpolation": code},
        {"encoder_output_stride": 0},
        {"__class__": "x"},
    ]
    for change in changes:
        meta = {"config": json.dumps({**CONFIG, **change})}
        content = safetensors({"__metadata__": meta, "a": tensor})
        yield _of("safetensors", f"config {json.dumps(change)[:50]}", content, refused=True)
    bare = safetensors({"a": tensor})
    for name, text in {
        "deep": b"[" * 90_000,
        "a list": b"[]",
        "no JSON": b"{",
        "large": b" " * 200_000,
        "bytes": b"\xff\xfe",
        "code": code.encode(),
    }.items():
        beside = {"config.json": text}
        yield _of("safetensors", f"config.json {name}", bare, refused=True, beside=beside)
    yield _of("safetensors", "no config.json", bare, refused=True)
    link = {"->config.json": b"/dev/zero"}
    yield _of("safetensors", "config.json a device", bare, refused=True, beside=link)


def state_cases(canary):
    out = io.BytesIO()
    torch.save(Net().state_dict(), out)
    for case in damaged(out.getvalue(), "state_dict", 6, 6, 6):
        yield Case(case.name, case.content, "state_dict", refused=True)
    for name, data in pickles(canary).items():
        yield _of("state_dict", name, data, refused=True)


def settle_torchvision():
    """What torchvision of another build misses; smp loads it."""
    try:
        import torchvision  # noqa: F401, PLC0415 - to see whether it can be
    except RuntimeError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        sys.torchvision_operators = library
    except ImportError:
        pass
