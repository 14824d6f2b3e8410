"""`package.module:factory`: importing and calling users' code, and saying what goes wrong."""

import sys
import textwrap

import pytest
import torch
from fake_generator import FakeGenerator

from latentlab.errors import UsageError
from latentlab.interop.factories import find, make, names_factory
from latentlab.interop.generators import load_user_generator
from latentlab.interop.identity import combined_sha256, content_sha256, modules_in, source_sha256

CODE = """
import torch
from torch import nn

number = 3
generator = nn.Linear(2, 2)

def fine():
    return {"made": True}

def needs(path, *, size=3):
    return path

def nothing():
    pass

def fails():
    values = {}
    return values["missing"]

def fails_deep():
    return torch.zeros(2) @ torch.zeros(3)

def leaves():
    raise SystemExit(3)

class Factory:
    @staticmethod
    def inner():
        return "inner"
"""

GENERATOR = """
import torch
from torch import nn
import latentlab

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.paint = nn.Linear(4, 3 * 8 * 8)

    def forward(self, w):
        return torch.tanh(self.paint(w)).reshape(-1, 3, 8, 8)

def make():
    return latentlab.wrap_generator(synthesis=Net().eval(), z_dim=4)

class Own:
    z_dim = w_dim = 4
    num_ws, img_resolution, img_channels = 1, 8, 3
    has_mapping, normalizes_z = False, False
    w_avg = torch.zeros(4)

    def __init__(self):
        self.net = Net().eval()

    def mapping(self, z):
        return z[:, None]

    def synthesis(self, ws, noise_mode="random"):
        return self.net(ws[:, 0])

class Bytes(Own):
    def synthesis(self, ws, noise_mode="random"):
        return (super().synthesis(ws) * 127.5 + 128).to(torch.uint8)

class NaN(Own):
    def synthesis(self, ws, noise_mode="random"):
        return super().synthesis(ws) / 0 * 0

class Stuck(Own):
    def to(self, device):
        raise RuntimeError("glued to the floor")

def module():
    return Net()

def text():
    return "generator"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of modules of one's own, which is the current one; nothing is left in sys."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "gens.py").write_text(GENERATOR)
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("from pack import helper\n\ndef make():\n    return helper.VALUE\n")
    (package / "helper.py").write_text("VALUE = 7\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("mine", "gens", "pack", "broken", "typo", "needy"):
            del sys.modules[name]


def test_what_is_a_factorys_name(place):
    assert names_factory("mine:fine")
    assert not names_factory("runs/style-8")
    (place / "odd:name").mkdir()
    assert not names_factory("odd:name")


@pytest.mark.usefixtures("place")
def test_factories_of_the_current_folder():
    assert make("mine:fine") == {"made": True}
    assert make("pack.part:make") == 7
    assert make("mine:Factory.inner") == "inner"
    assert make("fractions:Fraction") == 0  # a class of an installed module


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mine.py:fine", r"expected package.module:factory, such as mymodule:make"),
        ("folder/mine:fine", r"folder/mine:fine: expected package.module:factory"),
        ("mine:", r"expected package.module:factory"),
        ("mine:a:b", r"expected package.module:factory"),
        ("yours:make", r"there is no module yours, neither in the current folder /.* nor among the installed packages"),
        ("pack.other:make", r"there is no module pack.other,"),
        ("mine:make", r"mine has no make; it has fine, needs, nothing, fails, fails_deep, leaves, Factory\."),
        ("mine:number", r"mine:number is a int, not a function: name a function without arguments that returns it"),
        ("mine:generator", r"mine:generator is a Linear, not a function"),
        ("mine:needs", r"mine:needs must be callable without arguments: missing a required argument: 'path'"),
        ("mine:nothing", r"mine:nothing returned None: end the factory with `return`"),
        ("mine:fails", r"mine:fails failed: KeyError: 'missing' \(.*mine.py, line 19: return values\[\"missing\"\]\)"),
        ("mine:fails_deep", r"RuntimeError: .*mine.py, line 22: return torch.zeros\(2\) @ torch.zeros\(3\)\)"),
        ("mine:leaves", r"mine:leaves failed: SystemExit: 3 \(.*line 25"),
    ],
)
def test_what_goes_wrong_is_said_without_a_traceback(spec, words):
    with pytest.raises(UsageError, match=words):
        make(spec)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "import nowhere\n",
            r"importing broken failed: ModuleNotFoundError: No module named 'nowhere' .*line 1: import",
        ),
        ("x = 1\ny = x / 0\n", r"importing broken failed: ZeroDivisionError: .*broken.py, line 2: y = x / 0\)"),
        ("def make(:\n", r"importing broken failed: SyntaxError: .*broken.py, line 1: def make\(:\)"),
    ],
)
def test_modules_that_cannot_be_imported(place, code, words):
    (place / "broken.py").write_text(code)
    with pytest.raises(UsageError, match=words):
        make("broken:make")


# ------------------------------------------------------------------------------------------------------ generators


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("factory", ["make", "Own"])
def test_a_users_generator(factory):
    generator, name = load_user_generator(f"gens:{factory}")
    assert name.name == f"gens:{factory}"
    assert len(name.sha256) == 64
    assert (generator.z_dim, generator.img_resolution, generator.has_mapping) == (4, 8, False)
    again = load_user_generator(f"gens:{factory}")[1]
    assert again == name


@pytest.mark.usefixtures("place")
def test_the_hash_is_of_the_weights_the_source_and_the_function(place):
    first, again, other = (load_user_generator(f"gens:{name}")[1].sha256 for name in ("Own", "Own", "make"))
    assert first == again != other
    wrapped = load_user_generator("gens:make")[0]
    weights = wrapped.network.sha256
    wrapped.synthesis.function.paint.weight.data.zero_()
    del wrapped.network
    assert wrapped.network.sha256 != weights
    with (place / "gens.py").open("a") as file:
        file.write("# changed\n")
    assert load_user_generator("gens:Own")[1].sha256 != first


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("Bytes", r"gens:Bytes cannot be measured as it is:\n- images are uint8: return float32 in \[-1, 1\]"),
        ("NaN", r"gens:NaN cannot be measured as it is:\n- images have values that are not finite .*100.0% of them"),
        ("Stuck", r"gens:Stuck: moving it to cpu failed: RuntimeError: glued to the floor"),
        (
            "module",
            r"(?s)gens:module cannot .*no attribute z_dim.*no attribute w_dim.*becomes a generator by latentlab",
        ),
        ("text", r"(?s)gens:text cannot be measured.*no function synthesis"),
    ],
)
def test_generators_that_cannot_be_measured(factory, words):
    with pytest.raises(UsageError, match=words):
        load_user_generator(f"gens:{factory}")


def test_without_modules_the_hash_is_of_the_source(place):
    (place / "gens.py").write_text(
        textwrap.dedent("""
        from fake_generator import FakeGenerator

        def make():
            return FakeGenerator(scale=0.3)
        """)
    )
    generator, name = load_user_generator("gens:make")
    assert isinstance(generator, FakeGenerator)
    content = content_sha256(source=find("gens:make"))
    assert name.sha256 == combined_sha256(content, source_sha256(find("gens:make")), "make")
    assert modules_in(generator) == []
    before = name.sha256
    with (place / "gens.py").open("a") as file:
        file.write("# changed\n")
    assert load_user_generator("gens:make")[1].sha256 != before


def test_hashes_of_what_has_no_source():
    assert content_sha256(source=len) == "unknown"
    assert content_sha256(source=3) == "unknown"


def test_modules_are_found_wherever_they_are_held():
    nets = [torch.nn.Linear(1, 1) for _ in range(4)]

    class Holder:
        def __init__(self):
            self.parts = {"a": [nets[0]], "b": (nets[1],)}
            self.function = lambda x: nets[2](x)

        def method(self, x):
            return x

    holder = Holder()
    holder.itself = holder  # a cycle
    assert [id(net) for net in modules_in(holder.method)] == [id(net) for net in [nets[0], nets[1], nets[2], nets[3]]]
