"""How the model's window is shared out: the answer, the fixed part, the summary, and the conversation.

All sizes inside are in our own estimate's tokens; the model's are that times its ratio (see calibration).
"""

from __future__ import annotations

from dataclasses import dataclass

from triptych.agent.v1.agent_pb2 import Agent

# Kept for the answer: an eighth of the window, this much at the most, unless the agent's settings ask for more.
_MOST_FOR_ANSWER = 8_192
SOFT_LIMIT, HARD_LIMIT = 0.75, 0.9
# Kept for the summary.
_SUMMARY_PART, _MOST_FOR_SUMMARY = 16, 4_000
# What core memory may take, with instructions and tools: the rest is for the conversation, or no turn could be run.
_FIXED_PART = 0.75


@dataclass(frozen=True)
class Budget:
    """`window`, `answer`: the model's tokens. `hard`, `soft`: our estimate's, of a whole request."""

    window: int
    answer: int
    hard: int
    soft: int
    ratio: float

    @classmethod
    def of(cls, agent: Agent, window: int, ratio: float) -> Budget:
        """`window`: the model's tokens. `ratio`: its tokens for each that we estimate."""
        wanted = agent.model.max_output_tokens or min(window // 8, _MOST_FOR_ANSWER)
        answer = min(wanted, window // 2)
        hard = (window - answer) * (agent.compaction.hard_limit or HARD_LIMIT) / ratio
        soft = (window - answer) * (agent.compaction.soft_limit or SOFT_LIMIT) / ratio
        return cls(window, answer, int(hard), int(min(soft, hard)), ratio)

    @property
    def summary(self) -> int:
        """What a summary may take. It is kept free also where there is none yet."""
        return min(self.hard // _SUMMARY_PART, _MOST_FOR_SUMMARY)

    def core_memory(self, instructions: int, tools: int) -> int:
        """What the blocks may take beside instructions and tools of that size."""
        return max(0, int(self.hard * _FIXED_PART) - instructions - tools)

    def room(self, fixed: int) -> int:
        """What the conversation may take beside a fixed part (system prompt and tools) of that size."""
        return max(0, self.hard - self.summary - fixed)

    def soft_room(self, fixed: int) -> int:
        """From which size on the conversation presses."""
        return max(0, self.soft - self.summary - fixed)

    def calibrated(self, estimated: int) -> int:
        """The model's tokens for so many of ours."""
        return int(estimated * self.ratio)
