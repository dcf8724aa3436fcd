"""Where a training step's time goes, and the memory that it takes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

PREFIX, STEP, OPTIMIZERS, REST = "part: ", "the step", "optimizers", "rest"
BACKWARD = "autograd::engine::evaluate_function: "


class Share(NamedTuple):
    """Seconds of one step in a part, forward and backward."""

    part: str
    forward: float
    backward: float


def shares(step: Callable[[Tensor], Any], parts: dict[str, list[nn.Module]], wav: Tensor) -> list[Share]:
    """The time of one step on wav by part, then of the optimizers, and of all else: losses and clipping."""
    watched = profile(activities=[ProfilerActivity.CPU], acc_events=True)
    with _marked(parts), watched as profiler, record_function(STEP):
        step(wav)
    events: list[Any] = sorted(profiler.events() or [], key=lambda event: event.time_range.start)
    forward, backward = dict.fromkeys([*parts, OPTIMIZERS, REST], 0.0), dict.fromkeys([*parts, REST], 0.0)
    owners: dict[int, str] = {}
    part, end = REST, 0.0
    for event in events:
        start, seconds = event.time_range.start, event.cpu_time_total / 1e6
        part = part if start < end else REST
        if event.name.startswith(PREFIX):
            part, end = event.name.removeprefix(PREFIX), event.time_range.end
            forward[part] += seconds
        elif event.name.startswith(BACKWARD):  # it has the number that the forward operation had
            backward[owners.get(event.sequence_nr, REST)] += seconds
        elif event.name.startswith("Optimizer.step"):
            forward[OPTIMIZERS] += seconds
        elif event.name == STEP:
            forward[REST] = seconds
        elif event.sequence_nr >= 0:
            owners[event.sequence_nr] = part
    forward[REST] -= sum(forward[name] for name in [*parts, OPTIMIZERS]) + sum(backward.values())
    return [Share(name, forward[name], backward.get(name, 0.0)) for name in forward]


def peak_memory(make: Callable[[], Callable[[Tensor], Any]], wav: Tensor) -> int:
    """The most bytes of tensors at a time of what `make` gives, built and run twice on wav."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        step = make()
        step(wav)
        step(wav)
    assert profiler.profiler is not None
    results: Any = profiler.profiler.kineto_results
    changes = [event for event in results.events() if event.name() == "[memory]"]
    held = peak = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):
        held += change.nbytes()
        peak = max(peak, held)
    return peak


@contextmanager
def _marked(parts: dict[str, list[nn.Module]]) -> Iterator[None]:
    """Every forward pass of the modules shows in a profile under their part's name."""
    running: list[record_function] = []
    handles = []
    for name, modules in parts.items():

        def enter(*_: Any, name: str = name) -> None:
            running.append(record_function(PREFIX + name))
            running[-1].__enter__()

        def leave(*_: Any) -> None:
            running.pop().__exit__(None, None, None)

        for module in modules:
            handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
