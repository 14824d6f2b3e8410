"""Pickle streams assembled by hand that want to run code, to reserve memory or to take for ever."""

import os
import pickle
import struct

import numpy as np
import torch
from official_files import SOURCE

CANARY = "hostile-canary"
COMMAND = f"touch {CANARY}"


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def octets(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


def number(value: int) -> bytes:
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def stream(body: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


MAGIC = number(0x1950A86A20F9469CFC6C)


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def module(*, state: bytes = b"", kwargs: bytes = b"}", source: bytes = text(SOURCE)) -> bytes:
    """A module of torch_utils.persistence; `state` are keys and values."""
    inner = b"}(" + text("_init_kwargs") + kwargs + state + b"u"
    meta = b"}(" + text("type") + text("class") + text("module_src") + source
    meta += text("class_name") + text("Generator") + text("state") + inner + b"u"
    return call(name("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)


def storage_bytes(tensor: torch.Tensor) -> bytes:
    storage = torch.storage.TypedStorage(wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True)
    return storage.__reduce__()[1][0]


LOAD = name("torch.storage", "_load_from_bytes")


def storage(data: bytes) -> bytes:
    return call(LOAD, octets(data))


def tensor(size: bytes, stride: bytes, *, offset: int = 0, of: bytes | None = None) -> bytes:
    """A tensor over a storage of 12 elements."""
    of = storage(storage_bytes(torch.arange(12.0))) if of is None else of
    return call(name("torch._utils", "_rebuild_tensor_v2"), of, number(offset), size, stride, b"\x89", b"}")


def legacy(kind: bytes, count: int, data: bytes, *, key: str = "1", written: int | None = None) -> bytes:
    """A nested stream with a storage class of choice and claims of choice."""
    about = b"}(" + text("little_endian") + b"\x88u"
    identifier = b"(" + text("storage") + kind + text(key) + text("cpu") + number(count) + b"NtQ"
    parts = (MAGIC, b"M\xe9\x03", about, identifier, b"](" + text(key) + b"e")
    end = struct.pack("<q", count if written is None else written) + data
    return b"".join(stream(part, 2) for part in parts) + end


def array(shape: bytes, data: bytes, *, code: str = "f4", dtype_state: bytes | None = None, cls: bytes = b"") -> bytes:
    dtype = call(name("numpy", "dtype"), text(code), b"\x89\x88")
    if dtype_state is not None:
        dtype += dtype_state + b"b"
    return empty_array(cls) + b"(K\x01" + shape + dtype + b"\x89" + octets(data) + b"tb"


def empty_array(cls: bytes = b"") -> bytes:
    cls = cls or name("numpy", "ndarray")
    return call(name("numpy.core.multiarray", "_reconstruct"), cls, b"K\x00\x85", octets(b"b"))


def as_variable(value: bytes, *, builds: int = 1) -> bytes:
    """A value where a TensorFlow network has its variables."""
    state = b"}(" + text("version") + b"K\x02" + text("name") + text("Gs") + text("static_kwargs") + b"}"
    state += text("build_module_src") + text(SOURCE) + text("build_func_name") + text("G_style")
    state += text("variables") + b"](" + text("lod") + value + b"\x86eu"
    return name("dnnlib.tflib.network", "Network") + b")\x81" + (state + b"b") * builds


class Reduced:
    """Python's usual way to run code on loading."""

    def __reduce__(self):
        return os.system, (COMMAND,)


SYSTEM, RUN = name("os", "system"), text(COMMAND)
DICT = name("collections", "OrderedDict") + b")R"
EASY_DICT = name("dnnlib.util", "EasyDict") + b")\x81"
NETWORK = name("dnnlib.tflib.network", "Network") + b")\x81"

CALLING = {
    **{f"__reduce__ {p}": pickle.dumps(Reduced(), p) for p in (2, 3, 4, 5)},
    "REDUCE": stream(call(SYSTEM, RUN)),
    "REDUCE posix": stream(call(name("posix", "system"), RUN)),
    "REDUCE nt": stream(call(name("nt", "system"), RUN)),
    "REDUCE eval": stream(call(name("builtins", "eval"), text(f"__import__('os').system({COMMAND!r})"))),
    "REDUCE getattr": stream(call(name("builtins", "getattr"), name("collections", "OrderedDict"), text("fromkeys"))),
    "REDUCE of a text": stream(call(text("os.system"), RUN)),
    "REDUCE of a known class": stream(call(name("numpy", "ndarray"), RUN)),
    "REDUCE of an object": stream(call(NETWORK, RUN)),
    "STACK_GLOBAL": stream(stack_name("os", "system") + RUN + b"\x85R"),
    "STACK_GLOBAL of numbers": stream(b"K\x01K\x02\x93"),
    "GLOBAL alone": stream(SYSTEM),
    "GLOBAL in a list": stream(b"](" + SYSTEM + b"e"),
    "NEWOBJ": stream(SYSTEM + RUN + b"\x85\x81"),
    "NEWOBJ of a known class": stream(name("dnnlib.tflib.network", "Network") + RUN + b"\x85\x81"),
    "NEWOBJ of a function": stream(name("torch.storage", "_load_from_bytes") + RUN + b"\x85\x81"),
    "NEWOBJ_EX": stream(SYSTEM + RUN + b"\x85}\x92"),
    "NEWOBJ_EX of a known class": stream(name("dnnlib.util", "EasyDict") + b")}\x92"),
    "OBJ": stream(b"(" + SYSTEM + RUN + b"o"),
    "INST": stream(b"(" + RUN + b"ios\nsystem\n"),
    "BUILD with __setstate__": stream(EASY_DICT + b"}" + text("__setstate__") + RUN + b"sb"),
    "__setstate__ as an item": stream(EASY_DICT + text("__setstate__") + SYSTEM + b"s" + RUN + b"b"),
    "BUILD with __dict__": stream(NETWORK + b"}(" + text("__class__") + text("os") + text("__dict__") + b"}ub"),
    "BUILD with slots": stream(DICT + b"N}" + text("__class__") + RUN + b"s\x86b"),
    "BUILD of a class": stream(name("dnnlib.tflib.network", "Network") + b"}" + text("__getstate__") + RUN + b"sb"),
    "BUILD of a list": stream(b"]" + b"}" + text("append") + RUN + b"sb"),
    "EXT1": stream(b"\x82\x01"),
    "EXT2": stream(b"\x83\x01\x00"),
    "EXT4": stream(b"\x84\x01\x00\x00\x00"),
    "PERSID": stream(b"Pos.system\n"),
    "BINPERSID": stream(RUN + b"Q"),
    "NEXT_BUFFER": stream(b"\x97"),
    "attribute of a known class": stream(stack_name("collections", "OrderedDict.__class__")),
    "subclasses": stream(stack_name("collections", "OrderedDict.__class__.__base__.__subclasses__") + b")R"),
    "attribute of NumPy": stream(name("numpy.core.multiarray", "_reconstruct.__globals__")),
    "os of NumPy": stream(name("numpy", "os.system")),
    "names split elsewhere": stream(stack_name("numpy.core", "multiarray.scalar")),
    "exec of NumPy": stream(call(name("numpy.testing._private.utils", "runstring"), RUN, b"}")),
    "load of NumPy": stream(call(name("numpy", "load"), text("x.npy"))),
    "torch.load": stream(call(name("torch", "load"), text("x.pt"))),
    "torch.jit": stream(call(name("torch.jit", "load"), text("x.pt"))),
    "codecs": stream(call(name("_codecs", "encode"), text("61"), text("hex"))),
    "codecs decode": stream(call(name("_codecs", "decode"), octets(b"x"), text("zip"))),
    "nested": stream(storage(pickle.dumps(Reduced(), 2))),
    "nested after the magic number": stream(storage(stream(MAGIC, 2) + pickle.dumps(Reduced(), 2))),
    "nested as storage class": stream(storage(legacy(SYSTEM, 1, bytes(4)))),
    "nested as another class of torch": stream(storage(legacy(name("torch", "load"), 1, bytes(4)))),
    "nested as REDUCE": stream(storage(legacy(name("torch", "FloatStorage") + RUN + b"\x85R", 1, bytes(4)))),
    "nested in nested": stream(storage(stream(storage(legacy(name("torch", "FloatStorage"), 1, bytes(4))), 2))),
    "nested zip": stream(storage(b"PK\x03\x04" + bytes(30))),
    "class as an array": stream(array(numbers(1), bytes(4), cls=SYSTEM)),
    "module source": stream(module(state=text("_modules") + b"}" + text("x") + call(SYSTEM, RUN) + b"s")),
}  # fmt: skip

PARAMETERS = text("_parameters") + b"}"
ONE = tensor(numbers(1), numbers(1))
_EMOJI = "\N{GRINNING FACE}"
_HUGE = struct.pack("<Q", 1 << 40)
CLAIMS = {
    "BINBYTES": stream(b"B\xff\xff\xff\xff" + bytes(90)),
    "BINBYTES8": stream(b"\x8e" + _HUGE + bytes(90)),
    "BINBYTES8 beyond signed": stream(b"\x8e" + b"\xff" * 8),
    "BYTEARRAY8": stream(b"\x96" + _HUGE + bytes(90), 5),
    "SHORT_BINBYTES": stream(b"C\xff" + bytes(90)),
    "BINUNICODE": stream(b"X\xff\xff\xff\xff" + bytes(90)),
    "BINUNICODE8": stream(b"\x8d" + _HUGE + bytes(90)),
    "SHORT_BINUNICODE": stream(b"\x8c\xff" + bytes(90)),
    "LONG1": stream(b"\x8a\xff" + bytes(90)),
    "LONG4": stream(b"\x8b\xff\xff\xff\x7f" + bytes(90)),
    "BINSTRING": stream(b"T\xff\xff\xff\x7f" + bytes(90)),
    "FRAME": stream(b"\x95" + _HUGE + bytes(90)),
    "GLOBAL without an end": stream(b"c" + b"x" * 90),
    "LONG_BINPUT": stream(b"N" + b"r\xff\xff\xff\xff"),
    "LONG_BINGET": stream(b"j\xff\xff\xff\xff"),
    "PUT": stream(b"Np4294967295\n"),
    "array": stream(as_variable(array(numbers(10**12), bytes(90)))),
    "array of two huge sizes": stream(as_variable(array(numbers(1 << 40, 1 << 40), bytes(90)))),
    "array of a huge and no size": stream(as_variable(array(numbers(1 << 62, 0), b""))),
    "array of a negative size": stream(as_variable(array(numbers(-1, -1), bytes(4)))),
    "array of many dimensions": stream(as_variable(array(numbers(*[1] * 70), bytes(4)))),
    "array with too few bytes": stream(as_variable(array(numbers(3), bytes(8)))),
    "array with too many bytes": stream(as_variable(array(numbers(1), bytes(8)))),
    "array shaped by a list": stream(as_variable(array(b"]K\x01a", bytes(4)))),
    "array shaped by text": stream(as_variable(array(text("1") + b"\x85", bytes(4)))),
    "array of objects": stream(as_variable(array(numbers(1), bytes(8), code="O"))),
    "array of text": stream(as_variable(array(numbers(1), bytes(8), code="U2"))),
    "array of raw bytes": stream(as_variable(array(numbers(1), bytes(1 << 10), code="V1024"))),
    "array of dates": stream(as_variable(array(numbers(1), bytes(8), code="M8[ns]"))),
    "array of a structure": stream(as_variable(array(numbers(1), bytes(8), code="f4,f4"))),
    "array of fields": stream(as_variable(array(
        numbers(1), bytes(4), dtype_state=b"(K\x03" + text("|") + b"N" + text("a") + b"\x85}" + number(4) * 3 + b"t"))),
    "array in big-endian order": stream(as_variable(array(
        numbers(1), bytes(4), dtype_state=b"(K\x03" + text(">") + b"NNN" + number(-1) * 2 + b"K\x00t"))),
    "array without a state": stream(as_variable(empty_array())),
    "array with two states": stream(as_variable(array(numbers(1), bytes(4)) + b"K\x01\x85b")),
    "dtype as text": stream(call(name("numpy", "dtype"), text("float32"))),
    "scalar of another size": stream(call(
        name("numpy.core.multiarray", "scalar"), call(name("numpy", "dtype"), text("f8")), octets(b"abc"))),
    "buffer of another size": stream(call(
        name("numpy._core.numeric", "_frombuffer"), octets(bytes(8)), call(name("numpy", "dtype"), text("f4")),
        numbers(3), text("C"))),
    "tensor beyond its storage": stream(tensor(numbers(13), numbers(1))),
    "tensor beyond by offset": stream(tensor(numbers(12), numbers(1), offset=1)),
    "tensor beyond by stride": stream(tensor(numbers(3, 2), numbers(6, 1))),
    "tensor beyond by far": stream(tensor(numbers(2), numbers(1 << 60))),
    "tensor before its storage": stream(tensor(numbers(2), numbers(1), offset=-1)),
    "tensor of negative stride": stream(tensor(numbers(2), numbers(-1), offset=3)),
    "tensor of negative size": stream(tensor(numbers(-2), numbers(1))),
    "tensor whose rows overlap": stream(tensor(numbers(3, 3), numbers(1, 1))),
    "tensor with a bool for a size": stream(tensor(b"K\x02\x88\x86", numbers(1, 1))),
    "array with a bool for a size": stream(as_variable(array(b"\x88\x85", bytes(4)))),
    "tensor repeated by stride 0": stream(tensor(numbers(10**12), numbers(0))),
    "tensor of fewer strides": stream(tensor(numbers(2, 2), numbers(1))),
    "tensor of huge offset": stream(tensor(numbers(1), numbers(1), offset=1 << 70)),
    "tensor of no storage": stream(tensor(numbers(1), numbers(1), of=octets(bytes(4)))),
    "storage claims more": stream(storage(legacy(name("torch", "FloatStorage"), 1 << 30, bytes(8)))),
    "storage claims less than none": stream(storage(legacy(name("torch", "FloatStorage"), -1, b""))),
    "storage claims two counts": stream(storage(legacy(name("torch", "FloatStorage"), 2, bytes(8), written=1 << 30))),
    "storage with more behind": stream(storage(legacy(name("torch", "FloatStorage"), 1, bytes(8)))),
    "storage of another type": stream(storage(legacy(name("torch", "QInt8Storage"), 1, bytes(1)))),
    "storage cut": stream(storage(storage_bytes(torch.arange(12.0))[:-9])),
    "storage empty": stream(storage(b"")),
    "mark missing": stream(b"t"),
    "stack empty": stream(b"a"),
    "under a mark": stream(b"](K\x01a"),
    "dict with half a pair": stream(b"}(K\x01u"),
    "append to a text": stream(text("x") + b"Na"),
    "items of a list": stream(b"]K\x00K\x01s"),
    "left over": stream(b"NN"),
    "nothing": stream(b""),
    "no end": stream(b"N")[:-1],
    "second PROTO": stream(b"\x80\x04N"),
    "text that is no UTF-8": stream(b"X\x02\x00\x00\x00\xff\xff"),
    "surrogates": stream(text("\ud800")),
    "list as a key": stream(b"}]Ns"),
    "number as a key": stream(b"}" + number(1 << 61) + b"Ns"),
    "float in a set": stream(b"\x8f(G" + bytes(8) + b"\x90"),
    "network twice built": stream(as_variable(array(numbers(1), bytes(4)), builds=2)),
    "network without a state": stream(NETWORK),
    "network in itself": stream(NETWORK + b"\x94}(" + text("version") + b"K\x02" + text("name") + text("G") + text(
        "static_kwargs") + b"}" + text("build_module_src") + text("") + text("build_func_name") + text("") + text(
        "variables") + b"]" + text("components") + b"}" + text("a") + b"h\x00sub"),
    "settings in themselves": stream(module(kwargs=b"}\x94" + text("a") + b"h\x00s")),
    "tensor named twice": stream(module(
        state=PARAMETERS + text("a.b") + ONE + b"s" + text("_modules") + b"}" + text("a")
        + module(state=PARAMETERS + text("b") + ONE + b"s") + b"s")),
}  # fmt: skip


def _laughs(levels: int, leaf: bytes = b"]", copies: int = 10) -> bytes:
    """Lists of ten times the list before; memoised one by one."""
    body = leaf + b"\x94"
    for level in range(levels):
        body += b"](" + (b"j" + struct.pack("<I", level)) * copies + b"e\x94"
    return body


def _module_laughs(levels: int) -> bytes:
    """A module with modules that each hold the module before under ten names."""
    body = module(state=PARAMETERS + text("p") + ONE + b"s") + b"\x94"
    for level in range(levels):
        inner = b"".join(text(f"m{copy}") + b"j" + struct.pack("<I", level) for copy in range(10))
        body += module(state=text("_modules") + b"}(" + inner + b"u") + b"\x94"
    return b"}(" + text("levels") + b"(" + body + b"t" + text("G") + b"j" + struct.pack("<I", levels) + b"u"


def _listed_often(count: int, names: int) -> bytes:
    large = tensor(numbers(count), numbers(1), of=storage(storage_bytes(torch.zeros(count)))) + b"\x94"
    listed = b"".join(text(f"p{index}") + b"h\x00" for index in range(names))
    return module(state=text("_keep") + large + PARAMETERS + b"(" + listed + b"u")


def worst() -> dict[str, tuple[bytes, str]]:
    """What would take much memory or time, made on request, and words of its refusal."""
    many, long, steps = 100_000, 15 << 20, "more than 1,000,000 steps"
    collide = b"".join(number(((1 << 61) - 1) * (index + 1)) + b"N" for index in range(50_000))
    members = b"(" + b"".join(text(str(index)) for index in range(200_000)) + b"e\x94"
    orbit = [1]  # where a table of a million places is looked into one after the other
    while len(orbit) < 100_000:
        orbit.append((5 * orbit[-1] + 1) % (1 << 20))
    chain = b"".join(number(key) + b"N" for key in orbit) + (number(orbit[0] + (1 << 20)) + b"N") * 100_000
    gaps = b"".join(b"r" + struct.pack("<I", key) for key in orbit)
    encoding = name("_codecs", "encode") + b"h\x00" + text("latin1") + b"\x86R"
    nested = octets(storage_bytes(torch.zeros(1000))) + b"\x94"
    lists = b"]" * many + b"a" * (many - 1)
    listed = text("a") + b"(" + _laughs(20) + b"ts"
    texts = text("a") + b"(" + _laughs(8, text("x" * (1 << 20))) + b"ts"
    sources = text("x" * (8 << 20)) + b"\x94" + module(source=b"h\x00") * 3000
    return {
        "deep lists": (stream(lists), "a list of 1"),
        "deep tuples": (stream(b")" + b"\x85" * many), "a tuple of 1"),
        "deep dicts": (stream(b"}" + (text("a") + b"}") * many + b"s" * many), "a dict with the keys a"),
        "deep tuple as a key": (stream(b"})" + b"\x85" * many + b"Ns"), "as a key"),
        "deep tuple in a set": (stream(b"\x8f()" + b"\x85" * many + b"\x90"), "as a key"),
        "deep settings": (stream(module(kwargs=b"}" + text("a") + lists + b"s")), "more than 64 levels"),
        "deep storage": (stream(storage(stream(b")" + b"\x85" * many, 2))), "not in torch.save's old form"),
        "deep shape": (stream(as_variable(array(b")" + b"\x85" * many, bytes(4)))), "shape that cannot be: tuple"),
        "sets": (stream(b"\x8f" * 2_000_000), steps),
        "sets in the memo": (stream(b"\x8f\x94" * 1_000_000), steps),
        "dicts with an entry": (stream(text("k") + b"\x94" + b"}h\x00Ns" * 250_000), steps),
        "laughing lists": (stream(b"(" + _laughs(20) + b"t"), "a tuple of 21"),
        "laughing settings": (stream(module(kwargs=b"}" + listed)), steps),
        "laughing text": (stream(module(kwargs=b"}" + texts)), "16 MiB of text in its settings"),
        "laughing modules": (stream(_module_laughs(12)), steps),
        "tensors listed often": (stream(_listed_often(1 << 20, 5_000)), "larger than itself"),
        "long text": (stream(text(_EMOJI + "x" * long) * 8), "64 MiB of text"),
        "text encoded often": (stream(b"(" + text("x" * long) + b"\x94" + encoding * 1000 + b"t"), "64 MiB of encoded"),
        "set made often": (stream(b"(]" + members + (name("builtins", "set") + b"h\x00\x85R") * 5000 + b"t"), steps),
        "keys that collide": (stream(b"}(" + collide + b"u"), "as a key"),
        "small keys that collide": (stream(b"}(" + chain + b"u"), "as a key"),
        "memo with gaps": (stream(b"N" + gaps), "into a memo of"),
        "source shared by modules": (stream(b"(" + sources + b"t"), "a tuple of 3001"),
        "storage read often": (stream(b"(" + nested + (LOAD + b"h\x00\x85R") * 100_000 + b"t"), steps),
    }  # fmt: skip


ZOO = [
    None, True, -1, 1 << 2000, 0.5, "x", "f4", "C", "latin1", "class", memoryview(b"abcd"), b"abcd", (), (1,),
    (1, (2,)), [], [1], {}, {"a": 1}, set(), np.ones(3), np.float32(1), np.dtype("f4"),
]  # fmt: skip
