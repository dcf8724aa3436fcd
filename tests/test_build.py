"""The config builder: what Hydra gives, from trusted modules only."""

import sys
from functools import partial
from typing import Any

import pytest
import torch

from vocable.codecs.build import build


class Part:
    """A class of the user's own, in a module of the user's own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.args, self.options = args, options

    def method(self) -> None:
        raise AssertionError


MINE = __name__ + "."
PART = MINE + "Part"


def test_tree() -> None:
    node = {
        "_target_": PART,
        "_args_": [1, {"_target_": PART, "a": 2}],
        "b": [{"_target_": PART}, {"c": None}],
    }
    part = build(node, trusted=(MINE,))
    assert part.args[0] == 1
    assert part.args[1].options == {"a": 2}
    assert isinstance(part.options["b"][0], Part)
    assert part.options["b"][1] == {"c": None}
    assert node["_args_"][1] == {"_target_": PART, "a": 2}  # the node is as it was


def test_partial() -> None:
    lazy = build(
        {"_target_": PART, "_partial_": True, "_args_": [1], "a": {"_target_": PART}}, trusted=(MINE,)
    )
    assert isinstance(lazy, partial)
    assert lazy.func is Part
    assert lazy(b=2).options.keys() == {"a", "b"}
    assert lazy().args == (1,)
    assert isinstance(build({"_target_": PART, "_partial_": False}, trusted=(MINE,)), Part)


def test_plain_values_pass() -> None:
    for value in (None, 1, 2.5, "vocable.x", True, [1, [2]], {"a": {"b": []}}):
        assert build(value) == value


@pytest.mark.parametrize("changes", [{}, {"sample_rate": 24000}])
def test_gives_what_hydra_gives(node: dict[str, Any], changes: dict[str, Any]) -> None:
    instantiate = pytest.importorskip("hydra.utils").instantiate
    torch.manual_seed(0)
    ours = build(node | changes)
    torch.manual_seed(0)
    theirs = instantiate(node | changes, _convert_="all")
    assert repr(ours) == repr(theirs)
    assert ours.sample_rate == theirs.sample_rate
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key]), key


def test_gives_what_hydra_gives_for_every_form() -> None:
    instantiate = pytest.importorskip("hydra.utils").instantiate
    conv = {"_target_": "torch.nn.Conv1d", "_args_": [1, 2], "kernel_size": 3}
    forms: list[Any] = [
        {"a": conv, "b": [1, conv, [conv]]},
        [conv, {"_target_": "torch.nn.GELU", "approximate": "tanh"}],
        conv | {"_convert_": "all", "_recursive_": True},
        {"_target_": "torch.nn.Sequential", "_args_": [conv, conv]},
    ]
    for form in forms:
        ours, theirs = build(form, trusted=("torch.nn.",)), instantiate(form, _convert_="all")
        assert repr(ours) == repr(theirs)
    ours, theirs = (
        make(conv | {"_partial_": True}) for make in (partial(build, trusted=("torch.nn.",)), instantiate)
    )
    assert (ours.func, ours.args, ours.keywords) == (theirs.func, theirs.args, theirs.keywords)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "vocable_evil.x.Y",
        "vocablex.Y",
        "vocable",
        "",
        ".vocable.x",
        5,
        None,
        ["vocable.codecs.codec.Codec"],
    ],
)
def test_untrusted_targets_are_refused_wherever_they_are(target: Any) -> None:
    trees = [{"_target_": target}, [{"a": {"_target_": target}}]]
    trees += [{"_target_": "vocable.quantizers.fsq.FSQ", "dim": {"_target_": target}, "levels": [3]}]
    trees += [{"_target_": "vocable.quantizers.fsq.FSQ", "_args_": [{"_target_": target}], "levels": [3]}]
    for tree in trees:
        with pytest.raises(ValueError, match=r"is not trusted; accepted: vocable\."):
            build(tree)


@pytest.mark.parametrize(
    "target",
    [
        "vocable.codecs.os.system",  # no such module
        "vocable.codecs.files.os.system",  # through a module
        "vocable.codecs.files.os",  # a module
        "vocable.codecs.files.uuid4",  # a function of another's, imported there
        "vocable.codecs.codec.Tensor",  # a class of another's
        "vocable.codecs.build.import_module",
        "vocable.codecs.hub.load",  # vocable's own, but not a part: it could be told to trust more
        "vocable.codecs.load",
        "vocable.codecs.build.build",
        "vocable.codecs.audio.write",
        "vocable.codecs.codec.Codec.load_state_dict",  # a method
        "vocable.codecs.codec.Codec.__init__",
        "vocable.codecs.codec.__builtins__",
        "vocable.codecs.codec.no_such_name",
        "vocable.codecs.codec.",
        "vocable.",
        "vocable..codecs",
    ],
)
def test_ways_around_are_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r"config\.a\[0\]: .*target"):
        build({"a": [{"_target_": target}]})


def test_nothing_is_imported_before_the_whole_tree_is_checked() -> None:
    sys.modules.pop("this", None)
    with pytest.raises(ValueError, match=r"config\[1\]\.b"):
        build([{"_target_": "this.d"}, {"b": {"_target_": "os.system"}}], trusted=("this.",))
    assert "this" not in sys.modules


def test_trust_is_of_whole_names() -> None:
    with pytest.raises(ValueError, match="not trusted"):
        build({"_target_": PART}, trusted=(__name__[:-1],))
    assert isinstance(build({"_target_": PART}, trusted=(__name__,)), Part)
    with pytest.raises(ValueError, match="a tuple of prefixes"):
        build({"_target_": PART}, trusted=MINE)  # pyright: ignore[reportArgumentType]


def test_errors_say_where() -> None:
    fsq = "vocable.quantizers.fsq.FSQ"
    with pytest.raises(ValueError, match=r"config\.q\[0\]: vocable\.quantizers\.fsq\.FSQ: .*wrong"):
        build({"q": [{"_target_": fsq, "dim": 1, "levels": [3], "wrong": 1}]})
    with pytest.raises(ValueError, match=r"config\.q: vocable\.quantizers\.fsq\.FSQ: levels are \(1,\)"):
        build({"q": {"_target_": fsq, "dim": 1, "levels": [1]}})
    with pytest.raises(ValueError, match="_convert_"):
        build({"_target_": fsq, "_convert_": "none"})
    with pytest.raises(ValueError, match=r"no module 'vocable\.quantizers\.nothing'"):
        build({"_target_": "vocable.quantizers.nothing.FSQ"})
