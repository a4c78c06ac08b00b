"""Who gives way to whom when several want something of one environment."""

import asyncio

import pytest

from hostler.engine.environments.work import Works


class Making:
    """Something that takes until it is let go."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        self.began.set()
        await self.gate.wait()
        return "made"


async def ended() -> str:
    return "ended"


async def test_all_who_wait_share_one_making():
    works, making = Works(), Making()
    waiting = [asyncio.create_task(works.make("e", making)) for _ in range(3)]
    await making.began.wait()
    making.gate.set()
    assert await asyncio.gather(*waiting) == ["made"] * 3
    assert making.count == 1
    assert await works.make("e", making) == "made"
    assert making.count == 2, "the next one begins anew"


async def test_an_end_takes_the_place_of_a_making():
    works, making = Works(), Making()
    waiting = asyncio.create_task(works.make("e", making))
    await making.began.wait()
    assert await works.end("e", ended) == "ended"
    assert await waiting is None


async def test_a_making_is_given_up_with_the_last_who_waits_unless_it_is_to_be_kept():
    works, making, kept = Works(), Making(), Making()
    first, second = [asyncio.create_task(works.make("e", making)) for _ in range(2)]
    third = asyncio.create_task(works.make("k", kept, keep=True))
    await making.began.wait()
    await kept.began.wait()
    for one in (first, third):
        one.cancel()
    await asyncio.wait({first, third})
    making.gate.set()
    assert await second == "made", "somebody else still waited"
    again = asyncio.create_task(works.make("k", Making()))
    kept.gate.set()
    assert await again == "made"
    alone = Making()
    last = asyncio.create_task(works.make("a", alone))
    await alone.began.wait()
    last.cancel()
    await works.settled()
    assert not alone.gate.is_set()


async def test_a_making_that_waits_for_its_turn_is_called_off_without_a_trace():
    works, gate = Works(), asyncio.Event()
    busy = asyncio.create_task(works.alone("e", gate.wait))
    making = Making()
    waiting = asyncio.create_task(works.make("e", making))
    ending = asyncio.create_task(works.end("e", ended))
    assert await waiting is None
    gate.set()
    assert (await ending, await busy) == ("ended", True)
    assert making.count == 0


async def test_an_end_goes_on_although_its_caller_leaves_and_a_failure_reaches_who_waits():
    works, making = Works(), Making()
    ending = asyncio.create_task(works.end("e", making))
    await making.began.wait()
    ending.cancel()
    await asyncio.wait({ending})
    making.gate.set()
    await works.settled()

    async def failing() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        await works.make("e", failing)
    with pytest.raises(OSError, match="full"):
        await works.end("e", failing)


async def test_closing_lets_go_of_everything():
    works, making = Works(), Making()
    waiting = asyncio.create_task(works.make("e", making, keep=True))
    await making.began.wait()
    await works.close()
    assert await waiting is None
