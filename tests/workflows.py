"""The jobs of .github/workflows as GitHub would run them: matrices and reusable workflows resolved, expressions worked out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".github/workflows"
GITLAB = ROOT / "docs/ci/gitlab-ci.yml"
PREPARATION = "apt-get update && apt-get install --yes --no-install-recommends ca-certificates git make python3-venv"
CALL = "$/.github/workflows/"
EXPRESSION = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)
Values = dict[str, Any]


@dataclass
class Step:
    """A step of a job: what it runs or uses, with which environment or inputs."""

    run: str = ""
    uses: str = ""
    env: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)


@dataclass
class Job:
    """A job that runs, one a combination of its matrix. `image` is the container that it runs in."""

    workflow: str
    target: str
    image: str
    env: dict[str, str]
    steps: list[Step]

    @property
    def args(self) -> str:
        """The words that its target is given."""
        return next(step.env.get("ARGS", "") for step in self.steps if "TARGET" in step.env)

    @property
    def name(self) -> str:
        """What tells it from all others."""
        words = [self.workflow, self.target, self.args, self.env["CORE"], self.env["PYTHON"]]
        return "-".join(word for word in words if word).replace(" ", "")

    @property
    def pair(self) -> tuple[str, str]:
        """Its ansible-core and its Python."""
        return self.env["CORE"], self.env["PYTHON"].removeprefix("python")


def jobs(found: str = "") -> list[Job]:
    """All jobs of all workflows; `found` is what hashFiles says of any file, empty when there is none."""
    return [job for path in sorted(FOLDER.glob("[!_]*.yml")) for job in _called(path, found)]


@cache
def read(path: Path) -> Values:
    """A workflow; YAML reads its `on` as true."""
    loaded: Values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in loaded.items()}


def _called(path: Path, found: str) -> Iterator[Job]:
    workflow = read(path)
    for job in workflow["jobs"].values():
        callee = read(FOLDER / job["uses"].removeprefix(CALL))
        declared = callee["on"]["workflow_call"]["inputs"]
        for inputs in _dispatched(workflow):
            for cell in matrix(job.get("strategy", {}).get("matrix", {})):
                given = worked_out(job["with"], {"inputs": inputs, "matrix": cell}, found)
                values = {"inputs": {name: said.get("default", "") for name, said in declared.items()} | given}
                yield from (_job(path.stem, one, values, found) for one in callee["jobs"].values())


def _dispatched(workflow: Values) -> Iterator[Values]:
    """What a person may choose when he starts it: each choice once, of the rest the default."""
    asked = (workflow["on"].get("workflow_dispatch") or {}).get("inputs", {})
    options = [said.get("options", [said.get("default", "")]) for said in asked.values()]
    for chosen in itertools.product(*options):
        yield dict(zip(asked, chosen, strict=True))


def matrix(said: Values) -> Iterator[dict[str, str]]:
    """The combinations of a matrix that are not excluded; one, empty, when there is no matrix."""
    axes = {name: values for name, values in said.items() if name != "exclude"}
    for chosen in itertools.product(*axes.values()):
        cell = dict(zip(axes, chosen, strict=True))
        if not any(out.items() <= cell.items() for out in said.get("exclude", [])):
            yield cell


def _job(workflow: str, job: Values, values: Values, found: str) -> Job:
    steps = []
    for step in job["steps"]:
        env, given = (worked_out(step.get(key, {}), values, found) for key in ("env", "with"))
        if value(f"${{{{ {step.get('if', 'true')} }}}}", values, found):
            steps.append(Step(step.get("run", ""), step.get("uses", ""), env, given))
    image = value(job["container"]["image"], values, found)
    return Job(workflow, values["inputs"]["target"], image, worked_out(job["env"], values, found), steps)


def worked_out(texts: Mapping[str, Any], values: Values, found: str) -> dict[str, Any]:
    """All of them, worked out."""
    return {name: value(text, values, found) for name, text in texts.items()}


def value(text: Any, values: Values, found: str) -> Any:
    """What GitHub makes of a text with expressions; a text that is one expression keeps its type."""
    if not isinstance(text, str):
        return text
    if whole := EXPRESSION.fullmatch(text):
        return _expression(whole[1], values, found)
    return EXPRESSION.sub(lambda part: str(_expression(part[1], values, found)), text)


class _Empty(SimpleNamespace):
    """A context; what it does not have is empty, as at GitHub."""

    def __getattr__(self, name: str) -> str:
        return ""


def _expression(text: str, values: Values, found: str) -> Any:
    """GitHub's operators are Python's by other names, as far as the workflows use them."""
    names: Values = {name: _Empty(**values.get(name, {})) for name in ("inputs", "matrix", "vars", "github")}
    names["github"] = _Empty(run_id="1", run_attempt="1")
    names |= {"format": str.format, "hashFiles": lambda *paths: found if any(paths) else "", "true": True}
    names |= {"failure": lambda: True, "cancelled": lambda: False}
    python = re.sub(r"\s+", " ", text).strip().replace("&&", " and ").replace("||", " or ")
    return eval(python, {"__builtins__": {}}, names)  # noqa: S307  (our own workflows)
