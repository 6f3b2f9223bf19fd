"""Power of two choices, as LVS draws: two numbers from 0 to the sum of weights, walked off the list."""

from __future__ import annotations

from fractions import Fraction


def drawn(weights: list[int], number: int) -> int:
    """Return the index at which `number`, 0 to the sum of all, is used up; weight 0 is passed over."""
    for index, weight in enumerate(weights):
        number -= weight
        if weight > 0 and number <= 0:
            return index
    raise ValueError(number)


def shares(servers: list[tuple[int, int, int]]) -> list[Fraction]:
    """Return how probably each (weight, active, inactive) is chosen."""
    weights = [weight for weight, _, _ in servers]
    numbers = range(sum(weights) + 1)
    chances = [Fraction(sum(drawn(weights, n) == i for n in numbers), len(numbers)) for i in range(len(weights))]
    found = [Fraction(0)] * len(servers)
    for first, chance in enumerate(chances):
        for second, other in enumerate(chances):
            if chance and other:
                found[_better(servers, first, second)] += chance * other
    return found


def _better(servers: list[tuple[int, int, int]], first: int, second: int) -> int:
    (w1, a1, i1), (w2, a2, i2) = servers[first], servers[second]
    return second if w2 * (a1 * 256 + i1) > w1 * (a2 * 256 + i2) else first
