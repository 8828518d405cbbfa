"""Histories that others recorded: what is read of them, and that what is damaged is told by its place and never judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodewise.cli.main import nodewise
from nodewise.errors import UsageError
from nodewise.model import Operation
from nodewise.simulation.histories import edn, read
from nodewise.simulation.histories.read import read_any
from nodewise.simulation.workloads.history import read_history

RECORDED = Path(__file__).parents[1] / "cases" / "histories"
OURS = [
    Operation(0, "invoke", "write", "k", "1", 10, "n1"),
    Operation(0, "ok", "write", "k", "1", 20, "n1"),
    Operation(1, "invoke", "read", "k", None, 30, "n2"),
    Operation(1, "ok", "read", "k", "1", 40, "n2"),
]
LOG = """14:01:02 INFO  jepsen.core - Running test
INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]
INFO  jepsen.util - :nemesis\t:info\t:start\tnil
INFO  jepsen.util - 0\t:fail\t:cas\t[1 2]
INFO  jepsen.util - 1   :invoke :read   nil
INFO  jepsen.util - 1   :fail   :read   :timed-out
"""
EDN = """{:type :invoke, :f :write, :value [3 1], :process 0, :time 12, :index 0}
{:type :info, :f :start, :process :nemesis, :time 13, :value #{"n1"}}
#jepsen.history.Op{:index 2, :time 14, :type :ok, :process 0, :f :write, :value [3 1]}
{:type :invoke, :f :cas, :value [4 [1 2]], :process 1, :exception {:via [{:type java.net.SocketException}]}}
{:type :fail, :f :cas, :value [4 [1 2]], :process 1, :error [:not-found "x"]}
"""


def saved(folder: Path, text: str | bytes) -> Path:
    """A file with this in it."""
    path = folder / "history"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def lines(operations: list[Operation]) -> bytes:
    """A history.jsonl."""
    return b"".join(msgspec.json.encode(one) + b"\n" for one in operations)


def test_our_own(tmp_path: Path) -> None:
    """A history of ours comes back as it was written, as the reader of runs has it."""
    path = saved(tmp_path, lines(OURS))
    assert OURS == [*read_any(path)] == read_history(path)


def test_a_log_of_the_etcd_test(tmp_path: Path) -> None:
    """A cas that failed has compared; what the nemesis did and what else was logged are passed over; lines are the time."""
    assert [
        Operation(0, "invoke", "cas", None, 2, 1, old=1),
        Operation(0, "fail", "cas", None, 2, 2, old=1, refused=True),
        Operation(1, "invoke", "read", None, None, 3),
        Operation(1, "fail", "read", None, "timed-out", 4),
    ] == [*read_any(saved(tmp_path, LOG))]


@pytest.mark.parametrize("text", [EDN, f"[{EDN.rstrip()}]\n", EDN.replace(", ", "\n ")], ids=["lines", "vector", "many_lines"])
def test_edn_of_several_registers(text: str, tmp_path: Path) -> None:
    """Records and maps, one a line or in a vector; the key stands before the value; what is no client's is left out."""
    assert [
        Operation(0, "invoke", "write", 3, 1, 1),
        Operation(0, "ok", "write", 3, 1, 2),
        Operation(1, "invoke", "cas", 4, 2, 3, old=1),
        Operation(1, "fail", "cas", 4, 2, 4, old=1),
    ] == [*read_any(saved(tmp_path, text))]


def test_edn_of_one_register(tmp_path: Path) -> None:
    """A cas of one register is no key with a value."""
    text = "{:process 0 :type :invoke :f :cas :value [1 2]}\n{:process 1 :type :invoke :f :read :value nil}\n"
    assert [Operation(0, "invoke", "cas", None, 2, 1, old=1), Operation(1, "invoke", "read", None, None, 2)] == [
        *read_any(saved(tmp_path, text))
    ]


@pytest.mark.parametrize("name", ["kv-append/c10-ok.txt", "kv-append/c01-bad.txt"])
def test_the_short_cut_reads_what_the_reader_of_edn_reads(name: str) -> None:
    """Lines that are read without edn_format have the same values as with it."""
    text = (RECORDED / name).read_text().splitlines()[0:40:7]
    assert [edn._plain(line) for line in text] == list(edn._loads("\n".join(text)))


PLAIN = st.one_of(
    st.none(),
    st.integers(),
    st.text(st.characters(codec="ascii", exclude_characters='\\"', categories=["L", "N", "P", "Zs"])),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["process", "type", "f", "value", "time"]), st.one_of(PLAIN, st.lists(PLAIN, max_size=3))))
def test_the_short_cut_on_anything(values: dict[str, object]) -> None:
    """Whatever plain map: the short cut says what edn_format says, or leaves it to it."""
    said = "{" + ", ".join(f":{key} {_edn(value)}" for key, value in values.items()) + "}"
    assert edn._plain(said) in (None, values)
    assert [values] == list(edn._loads(said))


def _edn(value: object) -> str:
    if isinstance(value, list):
        return f"[{' '.join(map(_edn, value))}]"
    return "nil" if value is None else json.dumps(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (lines(OURS)[:-1], "line 4, column 81: the line is cut"),
        (lines(OURS)[:-9], "line 4, column 73: no operation: Input data was truncated"),
        (lines(OURS[:1]) + b'{"process": 1, x', "line 2, column 16: no operation: JSON is malformed"),
        (lines(OURS[:1]) + b'{"process": "a"}\n', "line 2, column 2: no operation: Expected `int`, got `str`"),
        (lines(OURS[1:]), "line 1, column 1: process 0 ends write, which it has not begun"),
        (lines([OURS[0], OURS[0]]), "line 2, column 1: process 0 begins write before its write has ended"),
        (lines([OURS[0], OURS[3]]), "line 2, column 1: process 1 ends read, which it has not begun"),
        (LOG[:-18], "line 6, column 7: expected PROCESS"),
        (LOG + "INFO  jepsen.util - 1\t:invoke\t:write\t1", "line 7, column 39: the line is cut"),  # it may have been 12
        (LOG + "INFO  jep", "line 7, column 10: the line is cut"),
        (LOG + "INFO  jepsen.util - 1\t:invoke\t:cas\t[1 2\n", "line 7, column 40: it ends too early"),
        (LOG + "INFO  jepsen.util - 1\t:invoke\t:cas\tnil\n", "line 7, column 1: a cas of None; expected"),
        (LOG + "INFO  jepsen.util - 1\t:went\t:read\tnil\n", "line 7, column 1: an operation of type 'went'"),
        (EDN[:-9], "line 5, column 70: it ends too early"),
        ("[" + EDN, "line 5, column 78: the vector that begins the file is not closed"),
        ("\n[" + EDN + "\n\n", "line 6, column 78: the vector that begins the file is not closed"),
        ("[" + EDN + "{:a\n :b ]}\n]\n", "line 7, column 5: ']' is not expected here"),
        (EDN + "{:a ]}\n", "line 6, column 5: ']' is not expected here"),
        (EDN + "{:type :ok, :f :read, :value 1}\n", "line 6, column 1: an operation without :process"),
        (EDN + "{:type :ok, :process 3, :f 7}\n", "line 6, column 1: an operation with :f 7"),
        (EDN + "[1 2]\n", "line 6, column 1: expected a map"),
        ("", "has no operations"),
        ("INFO nothing of it\n", "has no operations"),
        (b"\xff\xfe\n", "0xff is not UTF-8"),
    ],
)
def test_what_is_damaged_is_told(text: str | bytes, expected: str, tmp_path: Path) -> None:
    """Line and column, and what is wrong there; no verdict, exit code 2."""
    path = saved(tmp_path, text)
    with pytest.raises(UsageError) as error:
        list(read_any(path))
    assert expected in str(error.value)
    for model in ("register", "set", "cas-register"):
        done = CliRunner().invoke(nodewise, ["check", str(path), "--model", model])
        assert (2, "") == (done.exit_code, done.stdout)
        assert len(done.stderr.splitlines()) <= 2


@pytest.mark.parametrize("name", ["kv-append/c01-ok.txt", "etcd-cas-register/etcd_002.log", "ours"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_wrong_with_a_file_is_told(name: str, data: st.DataObject, tmp_path: Path) -> None:
    """A file that was cut, or in which anything was changed, is read or refused, and nothing else happens."""
    whole = lines(OURS) if name == "ours" else (RECORDED / name).read_bytes()[:1500]
    at, until = (data.draw(st.integers(0, len(whole))) for _ in range(2))
    path = saved(tmp_path, whole[:at] + data.draw(st.binary(max_size=4)) + whole[until:])
    with suppress(UsageError):
        list(read_any(path))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from('{}[]()#"\\:;, \n^abn1.-_/'), max_size=40))
def test_whatever_looks_like_edn_is_read_or_refused(text: str, tmp_path: Path) -> None:
    """Any text of the letters that EDN is made of."""
    path = saved(tmp_path, "{" + text)
    with suppress(UsageError):
        list(read_any(path))


def test_check_says_what_is_wrong_and_draws_it() -> None:
    """One line with what would have been legal, a row for each process, exit code 1."""
    done = CliRunner().invoke(
        nodewise, ["check", str(RECORDED / "etcd-cas-register/etcd_004.log"), "--model", "cas-register", "--explain"]
    )
    assert 1 == done.exit_code
    said, *drawn = done.stdout.splitlines()
    assert "invalid  linearizable: the read of 2 by process 4 fits no order: 4 would have been legal" == said
    assert ["process 1", "process 4", "process 7"] == [" ".join(row.split()[:2]) for row in drawn]
    assert drawn[1].count("├") == 3 == drawn[1].count("┤")


def test_check_of_what_is_valid_and_of_what_nobody_can_tell(tmp_path: Path) -> None:
    """Exit codes 0 and 3."""
    assert 0 == CliRunner().invoke(nodewise, ["check", str(RECORDED / "kv-append/c10-ok.txt"), "--model", "kv-append"]).exit_code
    assert 3 == CliRunner().invoke(nodewise, ["check", str(saved(tmp_path, lines(OURS[:1]))), "--model", "register"]).exit_code


@pytest.mark.parametrize("around", [("", ""), ("[", "]"), ("\n [", "]\n\n"), ("[\n", "\n]")])
def test_a_set_is_read_at_once(around: tuple[str, str], tmp_path: Path) -> None:
    """A read of all of it is a line of plain values; whether a vector is around the history makes no difference."""
    text = """{:type :invoke, :f :add, :value 1, :process 0}
{:type :ok, :f :add, :value 1, :process 0}
{:type :invoke, :f :read, :value nil, :process 0}
{:type :ok, :f :read, :value #{1 2}, :process 0}"""
    assert {1, 2} == (edn._plain(text.splitlines()[-1]) or {})["value"]
    found = [*read_any(saved(tmp_path, text.join(around)))]
    assert [("add", 1), ("add", 1), ("read", None), ("read", {1, 2})] == [(one.f, one.value) for one in found]
    assert [None] == [*{one.key for one in found}]


def test_what_is_known_is_let_go_of() -> None:
    """Additions are operations as soon as their line is read, however many there will be, and so is what follows on a read."""
    lines = [b"{:type :invoke, :f :add, :value 1, :process 0}\n", b"{:type :ok, :f :add, :value 1, :process 0}\n"]
    lines += [b"{:type :invoke, :f :read, :value nil, :process 0}\n", b"{:type :ok, :f :read, :value [1 2], :process 0}\n"]
    given: list[int] = []

    def file() -> Iterator[bytes]:
        for number, line in enumerate(lines):
            given.append(number)
            yield line

    assert [(n, n) for n in range(4)] == [(number, given[-1]) for number, _ in enumerate(read._of_edn(file()))]


def test_the_record_of_another_version_is_not_judged(tmp_path: Path) -> None:
    """Its history may mean something else: one line, exit code 2."""
    (tmp_path / "history.jsonl").write_bytes(lines(OURS))
    (tmp_path / "run.json").write_text('{"schema": 99}')
    done = CliRunner().invoke(nodewise, ["check", str(tmp_path)])
    assert (2, "", 1) == (done.exit_code, done.stdout, len(done.stderr.splitlines()))
    assert "run.json has schema 99, and this version reads up to" in done.stderr
