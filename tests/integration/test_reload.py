"""Corrected rejects load once, whatever is repeated, and however the first try ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import Conflict, FileError
from jobu_core.execution.retry import retry_execution
from jobu_core.models import Status
from tests.reload_bench import Reloading

if TYPE_CHECKING:
    from jobu_core.execution.reload import Reload
    from tests.fix_aftermath import Aftermath

FILE = "id,name,value\n1,a,1\nx,b,2\n3,,3\n4,d,-4\n5,e,5\n"


@pytest.fixture
def loading(aftermath: Aftermath) -> Reloading:
    """Return a system with the demo's dataset."""
    return Reloading(aftermath)


def test_corrected_rows_join_the_others_once(loading: Reloading) -> None:
    """Also when the dataset replaces: the other rows of the file stay."""
    first = loading.load(FILE)
    text = loading.export(first)
    fixed = text.replace('"x"', '"2"').replace('"-4"', '"4"')
    left_out = "\n".join(line for line in fixed.splitlines() if '"3@' not in line)
    done = loading.reload(first, left_out)
    (made,) = done.executions
    assert done.executions[made] == 2
    assert loading.settled(made).status is Status.SUCCESS
    assert [row[0] for row in loading.table] == [1, 2, 4, 5]
    again = loading.reload(first, left_out)
    assert (again.executions, again.already) == ({}, {made: 2})
    whole = loading.reload(first, fixed.replace('"3",,', '"3","c",'))
    assert whole.already == {made: 2}
    assert list(whole.executions.values()) == [1]
    loading.system.settle()
    assert loading.table == [(1, "a", 1), (2, "b", 2), (3, "c", 3), (4, "d", 4), (5, "e", 5)]


def test_rejects_of_one_stream_are_corrected_as_those_of_stages(loading: Reloading) -> None:
    """The reload is a stream as well, and appends."""
    first = loading.load(FILE, fused=True)
    fixed = loading.export(first).replace('"x"', '"2"').replace('"-4"', '"4"')
    done = loading.reload(first, fixed.replace('"3",,', '"3","c",'))
    (made,) = done.executions
    assert loading.settled(made).status is Status.SUCCESS
    assert loading.system.jobs.row(made).params["fused"] is True
    assert [row[0] for row in loading.table] == [1, 2, 3, 4, 5]
    assert loading.reload(first, fixed).already == {made: 3}


def test_the_export_names_rows_and_errors_and_reads_as_the_file_did(loading: Reloading) -> None:
    """Null and the empty string, quotes, newlines and ragged rows come back as they were."""
    file = 'id,name,value\nx,"a, ""b""\nc",1\ny,"",2\nz,,3\n7,g\n1,a,1\n'
    first = loading.load(file, csv={"null_values": ["NA"]})
    header, *rows = loading.export(first).split("\n", 1)
    assert header == '"_reject","_error","id","name","value"'
    assert '"x","a, ""b""\nc","1"\n' in rows[0]
    assert '"y","","2"\n' in rows[0]
    assert '"z",,"3"\n' in rows[0]
    assert 'the row has 2 cells, the header 3",7,g\n' in rows[0]
    text = loading.export(first)
    for bad, good in (
        ('"x"', '"2"'),
        ('"y",""', '"3","NA"'),
        ('"z",', '"4","d"'),
        ("7,g", "7,g,7"),
    ):
        assert text.count(bad) == 1
        text = text.replace(bad, good)
    loading.reload(first, text)
    loading.system.settle()
    assert loading.table == [
        (1, "a", 1),
        (2, 'a, "b"\nc', 1),
        (3, "NA", 2),
        (4, "d", 3),
        (7, "g", 7),
    ]


@pytest.mark.parametrize(
    "csv", [{"encoding": "cp949", "delimiter": ";"}, {"quote": "", "delimiter": "|"}]
)
def test_a_file_goes_out_and_in_as_it_is_written_down(
    loading: Reloading, csv: dict[str, str]
) -> None:
    """Another encoding, another delimiter, no quotes at all; messages give way to them."""
    text = "id;name;value\n1;가;1\nx;나;2\n".replace(";", csv["delimiter"])
    loading.write("in.csv", "")
    (loading.folder / "data" / "raw" / "in.csv").write_bytes(
        text.encode(csv.get("encoding", "utf-8"))
    )
    params = {"dataset": "sample", "input_path": "/data/raw/in.csv", "csv": csv}
    first = loading.run(handler_name="pipeline", params=params)
    out = loading.export(first)
    assert "나" in out
    loading.reload(first, out.replace("x", "2"), encoding=csv.get("encoding", "utf-8"))
    loading.system.settle()
    assert loading.table == [(1, "가", 1), (2, "나", 2)]


def test_rows_that_are_rejected_again_are_rejects_of_the_new_execution(loading: Reloading) -> None:
    """One of two is still wrong: it is corrected there, and not loaded by both."""
    first = loading.load(FILE)
    text = loading.export(first)
    (second_id,) = loading.reload(first, text.replace('"x"', '"2"')).executions
    second = loading.settled(second_id)
    assert (second.status, second.result["load"]["rows"]) == (Status.SUCCESS, 1)
    good = text.replace('"x"', '"2"').replace('"-4"', '"4"').replace('"3",,', '"3","c",')
    assert loading.reload(first, good).already == {second_id: 3}
    rest = loading.export(second).replace('"-4"', '"4"').replace('"3",,', '"3","c",')
    loading.reload(second, rest)
    loading.system.settle()
    assert [row[0] for row in loading.table] == [1, 2, 3, 4, 5]


def test_rows_of_a_reload_that_failed_can_be_corrected_again(loading: Reloading) -> None:
    """It continues the failed one's chain, so that only one of the two can ever load."""
    first = loading.load(FILE)
    text = loading.export(first)
    (failed_id,) = loading.reload(first, text).executions
    failed = loading.settled(failed_id)
    assert failed.status is Status.FAILED, "every row was rejected again"
    good = text.replace('"x"', '"2"').replace('"-4"', '"4"').replace('"3",,', '"3","c",')
    (made,) = loading.reload(first, good).executions
    assert loading.settled(made).status is Status.SUCCESS
    assert loading.system.jobs.row(made).root_execution_id == failed_id
    retried = retry_execution(loading.system.runtime.engine, failed_id, who="anna")
    loading.settled(retried)
    assert [row[0] for row in loading.table] == [1, 2, 3, 4, 5]


def test_an_operators_retry_of_a_failed_reload_holds_its_rows(loading: Reloading) -> None:
    """The retry loaded them after all: a further reload leaves them out."""
    first = loading.load(FILE)
    text = loading.export(first)
    good = text.replace('"x"', '"2"').replace('"-4"', '"4"').replace('"3",,', '"3","c",')
    (failed_id,) = loading.reload(first, good).executions
    loading.system.jobs.change(failed_id, status="FAILED")
    retried = retry_execution(loading.system.runtime.engine, failed_id, who="anna")
    assert loading.reload(first, good).already == {retried: 3}, "it is pending"
    assert loading.settled(retried).status is Status.SUCCESS
    assert loading.reload(first, good).already == {retried: 3}
    loading.system.settle()
    assert [row[0] for row in loading.table] == [1, 2, 3, 4, 5]


def test_a_retry_whose_first_execution_was_pruned_holds_the_rows(loading: Reloading) -> None:
    """Nobody knows any more which rows it loaded: none of them is loaded again."""
    first = loading.load(FILE)
    text = loading.export(first)
    good = text.replace('"x"', '"2"').replace('"-4"', '"4"').replace('"3",,', '"3","c",')
    (failed_id,) = loading.reload(first, good).executions
    loading.system.jobs.change(failed_id, status="FAILED")
    two = "\n".join(line for line in good.splitlines() if '"3@' not in line)
    (second_id,) = loading.reload(first, two).executions
    loading.system.jobs.change(second_id, status="FAILED")
    retried = retry_execution(loading.system.runtime.engine, failed_id, who="anna")
    loading.settled(retried)
    loading.system.target.run("DELETE FROM job_executions WHERE trigger = 'manual'")
    assert loading.reload(first, good).already == {failed_id: 1, retried: 2}
    assert [row[0] for row in loading.table] == [1, 2, 3, 4, 5]


def test_rows_left_behind_by_a_spent_chain_begin_a_new_one(loading: Reloading) -> None:
    """A failed reload of three, two of them loaded by the next: the third is not lost."""
    first = loading.load(FILE)
    text = loading.export(first)
    (failed_id,) = loading.reload(first, text).executions
    loading.settled(failed_id)
    good = text.replace('"x"', '"2"').replace('"-4"', '"4"').replace('"3",,', '"3","c",')
    two = "\n".join(line for line in good.splitlines() if '"3@' not in line)
    (made,) = loading.reload(first, two).executions
    with pytest.raises(Conflict, match=f"execution {made} runs"):
        loading.reload(first, good)
    loading.system.settle()
    last = loading.reload(first, good)
    assert last.already == {made: 2}
    (third,) = last.executions
    assert loading.system.jobs.row(third).root_execution_id is None
    loading.system.settle()
    assert [row[0] for row in loading.table] == [1, 2, 3, 4, 5]


def test_of_two_reloads_at_once_one_gets_the_rows(loading: Reloading) -> None:
    """The second waits for the first and finds them taken."""
    first = loading.load(FILE)
    text = loading.export(first)
    good = text.replace('"x"', '"2"').replace('"-4"', '"4"').replace('"3",,', '"3","c",')
    done: list[Reload] = []
    threads = [
        threading.Thread(target=lambda: done.append(loading.reload(first, good))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(len(each.executions) for each in done) == [0, 0, 0, 1]
    loading.system.settle()
    assert [row[0] for row in loading.table] == [1, 2, 3, 4, 5]


def test_a_table_that_was_replaced_since_takes_no_old_rows(loading: Reloading) -> None:
    """The newer file says what is there."""
    first = loading.load(FILE)
    text = loading.export(first).replace('"x"', '"2"')
    loading.load("id,name,value\n9,z,9\n")
    with pytest.raises(Conflict, match="was replaced by load 2"):
        loading.reload(first, text)
    assert loading.table == [(9, "z", 9)]


def test_a_reload_does_not_make_a_later_replace_stale(loading: Reloading) -> None:
    """It has the effective time of the file it belongs to."""
    first = loading.load(FILE)
    (made,) = loading.reload(first, loading.export(first).replace('"x"', '"2"')).executions
    assert loading.settled(made).message_time == first.created_at


def test_a_source_that_was_changed_is_not_exported(loading: Reloading) -> None:
    """Its row numbers mean other rows now; an existing file is not written over either."""
    first = loading.load(FILE)
    (loading.folder / "mine.csv").write_text("corrections")
    with pytest.raises(FileError, match="exists, and may hold corrections"):
        loading.export(first, "mine.csv")
    loading.write("in.csv", FILE + "6,f,6\n")
    with pytest.raises(FileError, match="changed since"):
        loading.export(first)
    assert not (loading.folder / "out.csv").exists()


def test_only_rejects_of_a_load_can_be_reloaded(loading: Reloading) -> None:
    """Each refusal says why, and what to do instead."""
    clean = loading.load("id,name,value\n1,a,1\n")
    with pytest.raises(Conflict, match="rejected no row"):
        loading.reload(clean, "")
    failed = loading.load("id,name,value\nx,a,1\n")
    with pytest.raises(Conflict, match="FAILED and loaded nothing: correct the file itself"):
        loading.reload(failed, "")
    other = loading.run(handler_name="sample_handler", params={})
    with pytest.raises(Conflict, match="ran sample_handler"):
        loading.reload(other, "")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (('"2@', '"5@'), "row 1: _reject names no reject"),
        (('"3@', '"2@'), "row 2: _reject is there twice"),
        (('"_reject"', '"which"'), "has no column '_reject'"),
        (('"x","b"', '"2"'), "row 1 has 4 cells, the header 5"),
        (('"value"', '"price"'), "no column 'value'"),
    ],
)
def test_a_corrected_file_that_is_no_longer_clear_is_refused(
    loading: Reloading, change: tuple[str, str], text: str
) -> None:
    """Nothing is claimed by it: the right file goes through afterwards."""
    first = loading.load(FILE)
    good = loading.export(first).replace('"-4"', '"4"')
    assert change[0] in good
    with pytest.raises(FileError, match=text):
        loading.reload(first, good.replace(change[0], change[1], 1))
    assert list(loading.reload(first, good).executions.values()) == [3]
