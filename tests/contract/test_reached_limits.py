"""Each counter of a limit rises where that limit is reached, on real servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtchat.reached import counted
from tests.contract.metrics import limits as scrape
from tests.contract.provoking import TOKEN, World
from tests.contract.reaching import ELSEWHERE, RECIPES
from tests.contract.reaching_strictly import Reach, stricter
from tests.oidc.process import Idp
from tests.pods import Pods

TESTS = Path(__file__).parents[1]
TOGETHER = {
    "sends_per_second": {"sends_burst"},
    "errors_per_second": {"errors_burst"},
}


@pytest.fixture(scope="module")
async def reach(
    world: World, pods: Pods, module_database_url: str, idp: Idp
) -> AsyncIterator[Reach]:
    """And stricter ones."""
    async with stricter(world, pods, module_database_url, idp) as made:
        yield made


async def counts(reach: Reach) -> dict[int, dict[str, float]]:
    """What each pod has counted, by its port."""
    world = reach.world
    there = [world.pod, world.full, reach.strict, reach.narrow, reach.slow]
    return {pod.port: await scrape(pod, TOKEN) for pod in there}


@pytest.mark.parametrize("limit", RECIPES)
async def test_a_limit_that_is_reached_is_counted(reach: Reach, limit: str):
    before = await counts(reach)
    pod = await RECIPES[limit](reach)
    after = (await counts(reach))[pod.port]
    assert after[limit] > before[pod.port][limit]
    for other in TOGETHER.get(limit, ()):
        assert after[other] - before[pod.port][other] == after[limit] - before[pod.port][limit]


def test_every_limit_is_reached_somewhere():
    assert RECIPES.keys() | ELSEWHERE.keys() == set(counted())
    assert not RECIPES.keys() & ELSEWHERE.keys()


@pytest.mark.parametrize(("limit", "where"), ELSEWHERE.items())
def test_what_is_seen_elsewhere_is_seen_there(limit: str, where: str):
    assert limit in (TESTS / f"{where}.py").read_text()
