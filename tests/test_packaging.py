import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("codecs", "quantizers", "losses", "recipes", "benchmarks")
# what each folder may import of the others; the commands of cli.py import more when they run
ALLOWED = {
    "codecs": {"codecs", "quantizers"},
    "quantizers": {"quantizers"},
    "losses": {"losses"},
    "recipes": {"codecs", "quantizers", "losses", "recipes"},
    # not recipes: a training step is measured as losses make it, without Lightning around it
    "benchmarks": {"codecs", "quantizers", "losses", "benchmarks"},
}
HEAVY = ["lightning", "hydra", "torchaudio", "transformers", "vector_quantize_pytorch", "matplotlib", "pesq"]
HEAVY += ["auraloss", "pystoi", "tensorboard", "ray", "av"]

checkout = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="needs the checkout")


def run(code: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def pyproject() -> dict:
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def sources() -> list[tuple[str, Path]]:
    return [(folder, file) for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text().splitlines()
    found = [re.fullmatch(r"([\w.-]+)==(\S+)( ; .*)?", line) for line in lines if line[:1] not in " #"]
    assert all(found), "a line of the lock is not name==version"
    return {normal(match[1]): match[2] for match in found if match}


def test_core_import_is_light(tmp_path):
    code = f"import sys; from vocable import codecs; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code, tmp_path).strip() == "[]"


def test_vocable_is_a_namespace(tmp_path):
    code = "import vocable; from vocable import codecs; print(vocable.__file__, codecs.__name__)"
    assert run(code, tmp_path).split() == ["None", "vocable.codecs"]


def test_data_files_are_installed():
    from importlib.resources import files

    assert (files("vocable.codecs.pretrained") / "librivox.flac").is_file()
    assert (files("vocable.codecs") / "py.typed").is_file()


@checkout
def test_codecs_stays_the_standard_module_in_the_root():
    code = "import codecs, sys; print(codecs.BOM_UTF8, codecs.__spec__.origin)"
    assert run(code, ROOT).split() == ["b'\\xef\\xbb\\xbf'", "frozen"]
    assert not (ROOT / "vocable").exists()  # it would hide the installed package


@checkout
def test_package_list_is_the_folders():
    setuptools = pyproject()["tool"]["setuptools"]
    on_disk = [
        ".".join(file.parent.relative_to(ROOT).parts) for _, file in sources() if file.stem == "__init__"
    ]
    assert sorted(setuptools["packages"]) == sorted(f"vocable.{package}" for package in on_disk)
    assert setuptools["package-dir"] == {f"vocable.{folder}": folder for folder in FOLDERS}
    stray = {file.parent for _, file in sources() if not (file.parent / "__init__.py").exists()}
    assert stray == set()


@checkout
def test_every_data_file_is_packaged():
    kept = {
        file
        for package, patterns in pyproject()["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for file in ROOT.joinpath(*package.split(".")[1:]).glob(pattern)
    }
    on_disk = {
        file
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix != ".py" and file.parent.name != "__pycache__"
    }
    assert on_disk == kept
    assert {ROOT / folder / "py.typed" for folder in FOLDERS} <= kept


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return names if node.module == "vocable" else [str(node.module)]
    return []


@checkout
def test_imports_point_one_way():
    wrong = []
    for folder, file in sources():
        tree = ast.parse(file.read_text())
        for node in ast.iter_child_nodes(tree) if file.name == "cli.py" else ast.walk(tree):
            for name in imported(node):
                top, _, rest = name.partition(".")
                if top == "vocable" and rest.split(".")[0] not in ALLOWED[folder]:
                    wrong.append(f"{file.relative_to(ROOT)}: {name}")
    assert wrong == []


@checkout
@pytest.mark.parametrize("command", ["install", "test"])
def test_readme_has_the_setup_commands(command):
    commands = {
        "install": "pip install -r requirements.txt -e . && vocable reconstruct",
        "test": "pip install --no-deps -r requirements-dev.txt -e . && pytest",
    }
    assert commands[command] in (ROOT / "README.md").read_text()
    if command == "test":  # CI's own words: the same two, with lint between them
        script = (ROOT / ".ci" / "run").read_text()
        assert script.count("install --quiet --no-deps -r requirements-dev.txt -e . ") == 2
        assert "\npytest\n" in script


@checkout
def test_locks_fit_the_requirements():
    from packaging.requirements import Requirement

    project = pyproject()["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    wanted = {
        "requirements.txt": project["dependencies"],
        "requirements-dev.txt": project["dependencies"] + extras,
    }
    for lock, lines in wanted.items():
        pinned = pins(lock)
        for requirement in map(Requirement, lines):
            assert requirement.specifier.contains(pinned[normal(requirement.name)]), (lock, str(requirement))
    assert pins("requirements.txt")["torch"] == "2.13.0"
    assert not [name for name in pins("requirements.txt") if name.startswith(("nvidia", "cuda", "triton"))]
