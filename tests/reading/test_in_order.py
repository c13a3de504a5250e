"""In order: results in the order of the items, a bound, errors where they belong, a clean end."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from monai_cxr.reading.in_order import in_order

NAME = "in-order-test"


def threads():
    return [one for one in threading.enumerate() if one.name.startswith(NAME)]


def test_results_come_in_the_order_of_the_items_whatever_each_takes():
    def slow_first(i):
        time.sleep(0.02 if i % 3 == 0 else 0.0)
        return i

    found = list(in_order(slow_first, range(12), workers=3, ahead=5, name=NAME))
    assert found == list(range(12))
    assert not threads()


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_no_more_are_in_flight_than_the_bound(ahead):
    taken = most = 0

    def items():
        nonlocal taken
        for i in range(20):
            taken += 1
            yield i

    found = in_order(str, items(), workers=3, ahead=ahead, name=NAME)
    for given, _ in enumerate(found):
        most = max(most, taken - given)
    assert most == ahead


def test_several_are_worked_on_at_once():
    both = threading.Barrier(2, timeout=10)  # each waits for the other
    assert len(list(in_order(lambda _: both.wait(), range(4), workers=2, ahead=2, name=NAME))) == 4


def test_one_alone_is_worked_on_in_this_thread():
    work = lambda _: threading.current_thread()  # noqa: E731
    found = list(in_order(work, range(3), workers=1, ahead=1, name=NAME))
    assert found == [threading.current_thread()] * 3


def test_an_error_stands_where_its_result_would():
    found = in_order(lambda i: 6 // i, [3, 2, 0, 1], workers=2, ahead=3, name=NAME)
    assert [next(found), next(found)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert not threads()


def test_closing_ends_what_is_under_way_and_begins_no_more():
    begun, ended = [], threading.Event()

    def work(i):
        begun.append(i)
        return ended.wait(10) if i else True

    with closing(in_order(work, range(9), workers=2, ahead=6, name=NAME, stop=ended.set)) as found:
        assert next(found)
    assert set(begun) <= {0, 1, 2}
    assert not threads()
