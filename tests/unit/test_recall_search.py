"""How recall adds up words, meaning and what stands beside."""

from __future__ import annotations

import pytest

from recall_service.likeness import content_words
from recall_service.places import Place, Places
from recall_service.questions import Asks, asks
from recall_service.ranking import (
    ANSWER_WEIGHT,
    LEXICAL_WEIGHT,
    LIKENESS_WEIGHT,
    NEIGHBOUR_WEIGHT,
    QUESTION_BOOST,
    SEMANTIC_WEIGHT,
    SESSION_GAP_MICROSECONDS,
    SPEAKER_BOOST,
    USER_BOOST,
    Hits,
    Scored,
    Surroundings,
    fuse,
    with_likeness,
)
from recall_service.store import Found
from triptych.type.v1 import type_pb2


def _by_number(hits: Hits | list[Scored]) -> dict[int, Scored]:
    return {each.n: each for each in (hits.scored() if isinstance(hits, Hits) else hits)}


def _ranked(scored: list[Scored], places: list[Place], query: str = "") -> list[Scored]:
    return Surroundings(Places.of(places), query).ranked(Hits.of(scored)).scored()


def test_each_side_is_scaled_to_its_best_and_weighed() -> None:
    fused = _by_number(fuse([Found(1, 20.0), Found(2, 10.0)], [Found(2, 0.4), Found(3, 0.2)]))
    assert fused[1].score == pytest.approx(LEXICAL_WEIGHT)
    assert fused[2].score == pytest.approx(LEXICAL_WEIGHT / 2 + SEMANTIC_WEIGHT)
    assert fused[3].score == pytest.approx(SEMANTIC_WEIGHT / 2)
    assert (fused[2].lexical, fused[2].semantic) == (0.5, 1.0)


def test_one_side_alone_counts_fully() -> None:
    assert fuse([Found(1, 7.0)], []).scored()[0].score == 1.0
    assert fuse([], [Found(1, 0.1)]).scored()[0].score == 1.0
    assert fuse([], []).scored() == []


def test_a_hit_between_good_hits_is_lifted_over_one_that_stands_alone() -> None:
    scored = [Scored(1, 0.6, 0, 0), Scored(2, 0.5, 0, 0), Scored(3, 0.6, 0, 0), Scored(9, 0.7, 0, 0)]
    ranked = _ranked(scored, [Place(n, "c", n) for n in (1, 2, 3, 9)])
    assert ranked[0].n in (1, 2, 3)
    assert _by_number(ranked)[9].score == pytest.approx(0.7)
    assert _by_number(ranked)[2].score == pytest.approx(0.5 + NEIGHBOUR_WEIGHT * 1.2)
    assert _by_number(ranked)[2].neighbour == pytest.approx(1.2)


def test_the_same_place_in_another_conversation_is_no_neighbour() -> None:
    scored = [Scored(1, 0.6, 0, 0), Scored(2, 0.5, 0, 0)]
    ranked = _ranked(scored, [Place(1, "c", 1), Place(2, "d", 2)])
    assert [each.neighbour for each in ranked] == [0, 0]


def test_a_message_of_another_session_is_no_neighbour() -> None:
    scored = [Scored(1, 0.6, 0, 0), Scored(2, 0.5, 0, 0), Scored(3, 0.4, 0, 0)]
    later = SESSION_GAP_MICROSECONDS + 1
    places = [Place(1, "c", 1), Place(2, "c", 2, created_at=later), Place(3, "c", 3, created_at=later)]
    ranked = _by_number(_ranked(scored, places))
    assert (ranked[1].neighbour, ranked[2].neighbour) == (0, pytest.approx(0.4))


def test_what_the_user_said_counts_more_than_what_was_said_to_them() -> None:
    scored = [Scored(1, 0.5, 0, 0), Scored(2, 0.5, 0, 0)]
    places = [Place(1, "c", 1, role=type_pb2.ROLE_USER), Place(2, "d", 1, role=type_pb2.ROLE_ASSISTANT)]
    ranked = _ranked(scored, places)
    assert [each.score for each in ranked] == [pytest.approx(0.5 * USER_BOOST), pytest.approx(0.5)]


def test_likeness_is_scaled_to_the_best_of_those_compared() -> None:
    scored = [Scored(1, 0.5, 0, 0), Scored(2, 0.5, 0, 0), Scored(3, 0.5, 0, 0)]
    added = _by_number(with_likeness(Hits.of(scored), {1: 4.0, 2: 2.0}))
    assert [added[n].score for n in (1, 2, 3)] == pytest.approx([0.5 + LIKENESS_WEIGHT, 0.5 + LIKENESS_WEIGHT / 2, 0.5])
    assert with_likeness(Hits.of(scored), {1: 0.0}).scored() == scored


def test_a_speaker_whom_the_query_names_comes_first() -> None:
    scored = [Scored(1, 0.6, 0, 0), Scored(2, 0.5, 0, 0)]
    places = [Place(1, "c", 1, "Bob"), Place(2, "c", 50, "Ann Lee")]
    ranked = _ranked(scored, places, "what did ann's sister buy?")
    assert [each.n for each in ranked] == [2, 1]
    assert ranked[0].score == pytest.approx(0.5 * SPEAKER_BOOST)


def test_what_only_asks_counts_less_and_lifts_what_is_said_behind_it() -> None:
    scored = [Scored(1, 0.5, 0, 0), Scored(2, 0.4, 0, 0), Scored(8, 0.5, 0, 0), Scored(9, 0.4, 0, 0)]
    places = [Place(1, "c", 1, asks=Asks.LAST | Asks.ONLY), Place(2, "c", 2), Place(8, "d", 1), Place(9, "d", 2)]
    ranked = _by_number(_ranked(scored, places))
    assert ranked[1].score == pytest.approx(QUESTION_BOOST * ranked[8].score)
    assert ranked[2].neighbour == pytest.approx(ranked[9].neighbour + 0.5 * ANSWER_WEIGHT)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Where did you buy it?", Asks.LAST | Asks.ONLY),
        ("Wow! “Where did you buy it?”", Asks.LAST | Asks.ONLY),
        ("你在哪里？", Asks.LAST | Asks.ONLY),
        ("I bought a boat with my sister in Oslo. You?", Asks.LAST),
        ("Did you? Great.", Asks.ONLY),
        ("word " * 26 + "?", Asks.LAST),
        ("I did.", Asks.NOTHING),
        ("?", Asks.LAST),
        ("", Asks.NOTHING),
        ("x?" + "y " * 5_000, Asks.NOTHING),
    ],
)
def test_a_question_is_known_by_its_marks(text: str, what: Asks) -> None:
    assert asks(text) == what


def test_of_equals_the_later_comes_first() -> None:
    scored = [Scored(1, 0.5, 0, 0), Scored(2, 0.5, 0, 0)]
    ranked = _ranked(scored, [Place(1, "c", 1), Place(2, "d", 1)])
    assert [each.n for each in ranked] == [2, 1]


def test_a_query_is_its_words_that_say_something() -> None:
    assert content_words("What is the name of Ann's dog, and the dog?") == ["name", "ann", "s", "dog"]
    assert content_words("Who are you?") == ["who", "are", "you"]
    assert len(content_words(" ".join(f"word{number}" for number in range(500)))) == 32
