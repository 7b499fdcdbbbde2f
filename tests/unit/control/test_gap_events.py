"""Events about pods that do not report: one per workload and reason."""

from __future__ import annotations

from rollcall.control.gap_events import AGAIN_S, LASTED_S, MOST_WORKLOADS, GapNews
from rollcall.model.coverage import Gap
from rollcall.model.states import PodState
from rollcall.model.tally import Pod
from tests.unit.model.agents import facts


def fleet(*reasons: str | Gap | None, workload: str = "Deployment/newsfeed") -> dict[str, Pod]:
    pods = {}
    for number, reason in enumerate(reasons):
        gap = reason if isinstance(reason, Gap) else None
        bare = reason is not None and gap is None
        state = PodState.BARE if bare else PodState.SILENT if gap else PodState.SERVING
        pod = Pod(facts(f"{workload}-{number}", workload=workload), state=state, reason=str(reason) if bare else None, gap=gap)
        pods[pod.facts.uid] = pod
    return pods


def test_fifty_pods_are_one_event_once_it_has_lasted() -> None:
    news, pods = GapNews(), fleet(*[Gap.IMAGE_PULL] * 50, None)
    assert news.take(pods, 0.0) == news.take(pods, LASTED_S - 0.1) == []
    (event,) = news.take(pods, LASTED_S)
    assert (event.workload, event.reason) == ("Deployment/newsfeed", "PodsNotReporting")
    assert event.message.startswith("50 of 51 pods do not report: ImagePull; check that the nodes can pull it")
    assert news.take(pods, LASTED_S + 1) == []
    assert len(news.take(pods, LASTED_S + AGAIN_S)) == 1


def test_php_without_a_request_is_nothing_to_warn_of() -> None:
    news, pods = GapNews(), fleet(Gap.PROBE_INACTIVE, Gap.AGENT_CRASHED)
    news.take(pods, 0.0)
    assert {(event.kind, event.message.split(";")[0]) for event in news.take(pods, LASTED_S)} == {
        ("Normal", "1 of 2 pods do not report: ProbeInactive"),
        ("Warning", "1 of 2 pods do not report: AgentCrashed"),
    }


def test_what_is_over_before_is_not_told() -> None:
    news = GapNews()
    for at in range(100):
        assert news.take(fleet(Gap.NETWORK_BLOCKED if at % 5 else None), float(at)) == []


def test_each_workload_and_each_reason_is_told_by_itself() -> None:
    news = GapNews()
    pods = fleet(Gap.NETWORK_BLOCKED, "CreatedBefore") | fleet(Gap.NETWORK_BLOCKED, workload="StatefulSet/cache")
    news.take(pods, 0.0)
    told = {(event.workload, event.reason, event.message.split(";")[0]) for event in news.take(pods, LASTED_S)}
    assert told == {
        ("Deployment/newsfeed", "PodsNotReporting", "1 of 2 pods do not report: NetworkBlocked"),
        ("Deployment/newsfeed", "PodsBare", "1 of 2 pods run without an agent: CreatedBefore"),
        ("StatefulSet/cache", "PodsNotReporting", "1 of 1 pods do not report: NetworkBlocked"),
    }


def test_the_same_trouble_of_many_workloads_is_one_event_of_the_service() -> None:
    news, pods = GapNews(), fleet("CreatedBefore")
    for number in range(MOST_WORKLOADS + 1):
        pods |= fleet(Gap.NETWORK_BLOCKED, None, workload=f"Job/import-{number}")
    news.take(pods, 0.0)
    told = {(event.workload, event.message.split(";")[0]) for event in news.take(pods, LASTED_S)}
    assert told == {
        ("Deployment/newsfeed", "1 of 1 pods run without an agent: CreatedBefore"),
        ("", "6 of 12 pods of 6 workloads do not report: NetworkBlocked"),
    }
    assert news.take(pods, LASTED_S + 1) == []


def test_what_somebody_wanted_is_no_news() -> None:
    news, pods = GapNews(), fleet("OptedOut", "InjectionOff", "HostNetwork", "TakenBack", None)
    news.take(pods, 0.0)
    assert news.take(pods, LASTED_S) == []
