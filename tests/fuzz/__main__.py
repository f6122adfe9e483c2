"""`make fuzz`: feeds every parser inputs that atheris makes up, for a bounded time, and keeps what broke one.

    PYTHONPATH=tests python -m fuzz --seconds 60 --target formats --target fetch

Exit status 1 when something was found. Where atheris has no wheel, hypothesis makes the inputs up.
"""

import argparse
import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("formats", "compare", "decoding", "robots", "replies", "links", "frames", "fetch")


def main() -> int:
    """Fuzzes each target in a process of its own: a finding ends one, and a leak is one's own."""
    arguments = _arguments()
    if arguments.repeat:
        return _repeat(*arguments.repeat)
    if arguments.worker:
        return _work(arguments.worker, arguments.seconds, arguments.folder)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if not _has_atheris():
        _tell("atheris is not to be had here: hypothesis makes the inputs up, not led by what they reach.")
    return max(_fuzz(name, arguments.seconds, arguments.folder) for name in arguments.target or NAMES)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument(
        "--target", action="append", choices=NAMES, help="may be repeated; all when not given"
    )
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="where findings are kept")
    parser.add_argument("--repeat", nargs=2, metavar=("TARGET", "FILE"), help="run one target on one finding")
    parser.add_argument("--worker", choices=NAMES, help=argparse.SUPPRESS)
    return parser.parse_args()


def _fuzz(name: str, seconds: int, folder: Path) -> int:
    before = set(folder.iterdir())
    words = ["--worker", name, "--seconds", str(seconds), "--folder", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", *words], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = done.stdout.decode(errors="replace").splitlines()
    found = sorted(set(folder.iterdir()) - before)
    runs = next((line for line in reversed(said) if line.startswith("Done ")), "ended early")
    _tell(f"{name:9} {runs}; {len(found)} found")
    if done.returncode or found:
        _tell("\n".join(f"    {line}" for line in said[-30:]))
    for each in found:
        _tell(f"    PYTHONPATH=tests {sys.executable} -m fuzz --repeat {name} {each}")
    return int(bool(done.returncode or found))


def _repeat(name: str, file: str) -> int:
    from fuzz.targets import TARGETS  # noqa: PLC0415 - a worker imports it instrumented

    TARGETS[name].run(Path(file).read_bytes())
    _tell("It keeps every promise now.")
    return 0


def _work(name: str, seconds: int, folder: Path) -> int:
    if _has_atheris():
        with tempfile.TemporaryDirectory(prefix="alerts-fuzz-") as corpus:
            _with_atheris(name, seconds, folder, Path(corpus))
    return _with_hypothesis(name, seconds, folder)


def _has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def _with_atheris(name: str, seconds: int, folder: Path, corpus: Path) -> None:
    import atheris  # noqa: PLC0415 - it may not be there

    with atheris.instrument_imports(include=["alerts"]):
        from fuzz.targets import TARGETS, no_loop  # noqa: PLC0415 - imported instrumented
    from fuzz.seeds import WORDS  # noqa: PLC0415 - a worker's alone

    target = TARGETS[name]
    for number, each in enumerate(target.good):
        (corpus / f"seed-{number}").write_bytes(each)
    words = corpus.with_suffix(".dict")
    words.write_text("".join(f'"{word}"\n' for word in WORDS))

    def run(data: bytes) -> None:
        with no_loop():
            target.run(data)

    options = {
        "max_total_time": seconds,
        "artifact_prefix": f"{folder}/{name}-",
        "dict": words,
        "timeout": 20,
        "rss_limit_mb": 1024,  # a target that grows ends as a finding, too
        "max_len": 20_000,
        "print_final_stats": 1,
    }
    atheris.Setup(["fuzz", str(corpus), *(f"-{key}={value}" for key, value in options.items())], run)
    atheris.Fuzz()  # ends the process


def _with_hypothesis(name: str, seconds: int, folder: Path) -> int:
    import time  # noqa: PLC0415 - a worker's alone

    from hypothesis import HealthCheck, Phase, given, settings  # noqa: PLC0415 - a worker's alone

    from fuzz.slips import slipped  # noqa: PLC0415 - a worker's alone
    from fuzz.targets import TARGETS, no_loop  # noqa: PLC0415 - a worker's alone

    target, began, runs = TARGETS[name], time.monotonic(), 0

    @given(slipped(target.good))
    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    def run(data: bytes) -> None:
        nonlocal runs
        runs += 1
        try:
            with no_loop():
                target.run(data)
        except Exception:
            (folder / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise

    while time.monotonic() - began < seconds:
        run()
    _tell(f"Done {runs} runs in {time.monotonic() - began:.0f} seconds")
    return 0


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
