"""Words that say nothing about what is meant."""

from __future__ import annotations

# Words that nearly every message has, and that a question is full of; without them FTS5 finds more of what is meant.
STOP_WORDS = frozenset(
    """
    a about all also am an and any are as at be because been but by can could did do does doing for from get got had
    has have he her here hers him his how i if in into is it its just let like may me might my no not of on or our ours
    out own she should so some such than that the their theirs them then there these they this those to too up us very
    was we were what when where which while who whom whose why will with would you your yours
    """.split()
)
