"""What is learnt of each model from its endpoint's own words: how it counts tokens, and how many it really takes.

Kept by owner and model, so that no user's texts or mistakes move another's limits; lost with the process, since one
call teaches it anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cachetools import LRUCache

from servicekit.principal import Tenant

# Beyond these a reported count is not about the same text (a proxy that counts nothing, a prompt that was rewritten).
_LEAST_RATIO, _MOST_RATIO = 0.6, 3.0
# A request smaller than this says little: what the chat format adds outweighs the text.
_LEAST_ESTIMATE = 200
_WEIGHT = 0.3
# The ratio in use moves only when it is this far off, so that limits, and with them prompts, don't change all the time.
_TOLERANCE = 0.1
LEAST_WINDOW = 1_024
_SHRINK = 0.75
_MODELS = 10_000
_LIMIT = re.compile(
    r"(?:context length|context size|context window|maximum context|maximum prompt length|number of tokens allowed|"
    r"tokens >)\D{0,40}?(\d[\d,]*)",
    re.IGNORECASE,
)


@dataclass
class _Learnt:
    """`ratio`: in use; `average`: of what was reported, by our estimate. `window`: tokens, 0 if none was met."""

    ratio: float = 1.0
    average: float = 1.0
    window: int = 0


class Calibration:
    def __init__(self) -> None:
        self._learnt: LRUCache[tuple[Tenant, str], _Learnt] = LRUCache(_MODELS)

    def ratio(self, tenant: Tenant, model: str) -> float:
        """Tokens of this model for each that we estimate."""
        return self._of(tenant, model).ratio

    def window(self, tenant: Tenant, model: str, configured: int) -> int:
        """Tokens: as configured, or fewer if the endpoint once refused more."""
        learnt = self._of(tenant, model).window
        return min(configured, learnt) if learnt else configured

    def observe(self, tenant: Tenant, model: str, *, estimated: int, reported: int) -> None:
        """A request estimated at so many tokens was reported to have so many; 0 for not reported."""
        if reported <= 0 or estimated < _LEAST_ESTIMATE:
            return
        learnt = self._of(tenant, model)
        seen = min(max(reported / estimated, _LEAST_RATIO), _MOST_RATIO)
        learnt.average += _WEIGHT * (seen - learnt.average)
        if abs(learnt.average / learnt.ratio - 1) > _TOLERANCE:
            learnt.ratio = learnt.average

    def refused(self, tenant: Tenant, model: str, *, window: int, estimated: int, message: str) -> None:
        """The endpoint says that a request of about `estimated` tokens is more than its context takes.

        If it names its limit, that is the window. If that is no smaller than what was believed, we count too low.
        """
        learnt = self._of(tenant, model)
        named = _named_limit(message)
        if named >= window:
            learnt.ratio = learnt.average = min(learnt.ratio / _SHRINK, _MOST_RATIO)
            return
        learnt.window = named or max(LEAST_WINDOW, int(min(window, estimated) * _SHRINK))

    def _of(self, tenant: Tenant, model: str) -> _Learnt:
        learnt = self._learnt.get((tenant, model))
        if learnt is None:
            learnt = self._learnt[tenant, model] = _Learnt()
        return learnt


def _named_limit(message: str) -> int:
    """The limit that an error message names; 0 if it names none that can be one."""
    named = (int(found.group(1).replace(",", "")) for found in _LIMIT.finditer(message))
    return next((limit for limit in named if limit >= LEAST_WINDOW), 0)
