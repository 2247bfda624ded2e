"""What models cost, from a file of the operator's: prices change too often, and differ too much, to be built in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent_service.models.types import ModelUsage
from triptych.environment import BadEnvironment

_MILLION = 1_000_000


class Price(BaseModel):
    """For a million tokens each. `cached`: of prompt tokens that the provider had cached; absent: as the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)

    def of(self, usage: ModelUsage) -> float:
        cached = min(usage.cached, usage.prompt)
        rate = self.prompt if self.cached is None else self.cached
        return ((usage.prompt - cached) * self.prompt + cached * rate + usage.completion * self.completion) / _MILLION


_FILE = TypeAdapter(dict[str, Price])


@dataclass(frozen=True)
class Prices:
    """By the model's name at its endpoint."""

    by_model: Mapping[str, Price] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Prices:
        """From a JSON file: {"gpt-4o-mini": {"prompt": 0.15, "cached": 0.075, "completion": 0.6}}.

        Raises: BadEnvironment if it is no such file.
        """
        if path is None:
            return cls()
        try:
            return cls(_FILE.validate_json(path.read_bytes()))
        except OSError as error:
            raise BadEnvironment(f"TRIPTYCH_MODEL_PRICES: {path} can't be read ({error.strerror})") from None
        except ValidationError as error:
            raise BadEnvironment(
                f"TRIPTYCH_MODEL_PRICES: {path} is no price list: {error.errors()[0]['msg']}"
            ) from None

    def cost(self, model: str, usage: ModelUsage) -> float | None:
        """None if the model has no price."""
        price = self.by_model.get(model)
        return None if price is None else price.of(usage)
