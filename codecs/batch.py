"""Many files through one function: where each result goes, and going on where one fails."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Told = Callable[[float, float], None]  # see `Codec.encode_file`


def outputs(inputs: list[Path], out: str, suffixes: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """Each input with its output, by `-o FILE_OR_DIR`.

    `out` is a file if it has one of `suffixes`, else a folder, in which the results have the first of them.
    ValueError where two inputs would share an output, or one would be overwritten.
    """
    if _is_folder(out, suffixes):
        pairs = [(path, Path(out) / f"{path.stem}{suffixes[0]}") for path in inputs]
    elif len(inputs) > 1:
        raise ValueError(f"-o is the file {out} for {len(inputs)} inputs; accepted: a folder")
    else:
        pairs = [(inputs[0], Path(out))]
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        if other := taken.get(target):
            raise ValueError(f"{other} and {source} would both become {target}; accepted: one input a name")
        check_not_input(target, inputs)
        taken[target] = source
    return pairs


def check_not_input(target: Path, inputs: list[Path]) -> None:
    """ValueError where writing `target` would lose one of `inputs`."""
    for path in inputs:
        if target.exists() and path.exists() and target.samefile(path):
            raise ValueError(f"the output {target} is the input {path}; accepted: another file")


def run(pairs: list[tuple[Path, Path]], work: Callable[[Path, Path, Told], None], errors: Console) -> int:
    """`work(input, output, told)` for every pair; the number that failed, each with its line on `errors`.

    `told(done, total)` moves the bar of the file in work, in seconds of its audio.
    """
    failed = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("")
        for i, (source, target) in enumerate(pairs):

            def told(done: float, total: float) -> None:
                progress.update(bar, completed=done, total=total or None)

            of = f"{i + 1} of {len(pairs)}: " if len(pairs) > 1 else ""
            progress.reset(bar, total=None, description=f"{of}{escape(source.name)}")
            try:
                if not source.exists():
                    raise FileNotFoundError("no such file")
                if source.is_dir():
                    raise IsADirectoryError("a folder; accepted: a file")
                target.parent.mkdir(parents=True, exist_ok=True)
                work(source, target, told)
            except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: also torch's, out of memory
                failed += 1
                errors.print(f"{source}: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    return failed


def _is_folder(out: str, suffixes: tuple[str, ...]) -> bool:
    path = Path(out)
    if path.is_dir() or out.endswith(("/", "\\")):
        return True
    if path.suffix.lower() in suffixes:
        return False
    if path.suffix or path.exists():
        raise ValueError(f"-o is {out}; accepted: a folder (new ones end in /), or {', '.join(suffixes)}")
    return True
