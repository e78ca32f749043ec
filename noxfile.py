"""Every check of the project, each in an environment of its own: ``nox -l`` lists them, ``nox -s tests`` runs one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

# uv builds an environment five times faster, but reads its own settings only: use it where it was told what pip knows.
nox.options.default_venv_backend = "uv" if os.environ.get("UV_FIND_LINKS") and shutil.which("uv") else "virtualenv"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True

REAL_DATA = os.environ.get("VINPAINT_REAL_DATA")
OFFLINE = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install("ruff>=0.6")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, strictly."""
    session.install("-e", ".", "mypy>=1.11")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the fast tests; further arguments go to pytest."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "2", *session.posargs, env=OFFLINE)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take minutes: overfitting, resuming, many processes."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "slow and not real_data and not gpu", "--timeout=1800", *session.posargs, env=OFFLINE)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill processes, break files and draw many examples of clips and holes (minutes)."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "faults", "-n", "2", "--timeout=900", *session.posargs, env=OFFLINE)


@nox.session
def soak(session: nox.Session) -> None:
    """Complete a very long clip and see that neither time per frame nor memory grows (minutes)."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "soak", "-s", "--timeout=1800", *session.posargs, env=OFFLINE)


@nox.session
def gpu(session: nox.Session) -> None:
    """Run the tests that need a CUDA device."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "gpu", *session.posargs, env=OFFLINE)


@nox.session
def tests_min(session: nox.Session) -> None:
    """Run the fast tests with the oldest supported version of every dependency."""
    if session.venv_backend != "uv":
        session.install("uv>=0.4")
    requirements = Path(session.create_tmp()) / "oldest.txt"
    compiled = ["--resolution=lowest-direct", "--extra=test", "--quiet", "--output-file", str(requirements)]
    session.run("uv", "pip", "compile", "pyproject.toml", *compiled, *_uv_constraints())
    session.run("uv", "pip", "install", "--python", session.virtualenv.location, "-r", str(requirements), "-e", ".")
    session.run("pytest", "-n", "2", *session.posargs, env=OFFLINE)


def _uv_constraints() -> list[str]:
    """Constraints that pip would honour (a CPU build of torch, say), which uv must be told of."""
    return ["--constraint", os.environ["PIP_CONSTRAINT"]] if os.environ.get("PIP_CONSTRAINT") else []


@nox.session
def real_data(session: nox.Session) -> None:
    """Run the tests on the real clips that VINPAINT_REAL_DATA points to."""
    if not REAL_DATA:
        session.skip("VINPAINT_REAL_DATA is not set: it points to a folder of real clips with masks")
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "real_data and not slow", *session.posargs, env=OFFLINE)


@nox.session
def notebooks(session: nox.Session) -> None:
    """Run every notebook from top to bottom on clips made by program."""
    session.install("-e", ".[test,notebooks]")
    session.run("pytest", "--nbmake", "--nbmake-timeout=300", "-m", "", "notebooks", *session.posargs, env=OFFLINE)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it in a clean environment and run the commands from another folder."""
    session.install("build>=1.2")
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    session.install(str(next(dist.glob("*.whl"))))
    elsewhere = Path(session.create_tmp()) / "elsewhere"
    shutil.rmtree(elsewhere, ignore_errors=True)
    elsewhere.mkdir()
    session.chdir(elsewhere)
    session.run("vinpaint-inpaint", "demo.clip.num_frames=12", "overwrite=true", env=OFFLINE)
    session.run("vinpaint-evaluate", "data=procedural", "data.val.num_clips=1", env=OFFLINE)
    session.run("vinpaint-report", "outputs", env=OFFLINE)  # its page is made from files that the wheel must carry
    session.run("vinpaint-train", "--help", silent=True)
    session.run("vinpaint-weights")


@nox.session
def demo(session: nox.Session) -> None:
    """Complete the demo clip."""
    session.install("-e", ".")
    session.run("vinpaint-inpaint", "overwrite=true", *session.posargs, env=OFFLINE)
