"""Grouping prompts by length for the text tower, so that short ones are not padded to the longest."""

from collections.abc import Sequence
from itertools import groupby

COST_OF_PASS = 1_200_000  # measured on a CPU: tokens times squared width that take as long as the calls of a pass


def ranges_of_like_length(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Group classes by prompt length; at most three groups, because each costs kernel launches.

    >>> ranges_of_like_length([24, 18, 18, 12, 12, 12, 12, 12] + 24 * [9])
    [(24, 2), (18, 6), (9, 24)]

    Args:
        lengths: of each class's prompt, in tokens, in descending order.

    Returns:
        Length and number of classes of each group, longest first.
    """
    if not lengths:
        return []
    starts = [0]
    for start in (len(lengths) // 16, len(lengths) // 4):
        if lengths[start] < lengths[starts[-1]]:
            starts.append(start)
    return [(lengths[i], stop - i) for i, stop in zip(starts, [*starts[1:], len(lengths)], strict=True)]


def worthwhile_ranges(ranges: Sequence[tuple[int, int]], width: int, n_groups: int = 1) -> list[tuple[int, int]]:
    """Join ranges that are too small to be worth a pass of their own.

    >>> worthwhile_ranges([(24, 2), (18, 6), (9, 24)], width=512)
    [(24, 2), (18, 6), (9, 24)]
    >>> worthwhile_ranges([(24, 2), (18, 6), (9, 24)], width=64)
    [(24, 8), (9, 24)]

    Args:
        ranges: from :func:`ranges_of_like_length`.
        width: of the text tower.
        n_groups: how many times each class is encoded.
    """
    joined = list(ranges[:1])
    for length, n_classes in ranges[1:]:
        longest, n_longer = joined[-1]
        n_padding = (longest - length) * n_classes * n_groups
        if n_padding * width**2 < COST_OF_PASS:
            joined[-1] = longest, n_longer + n_classes
        else:
            joined.append((length, n_classes))
    return joined


def length_buckets(lengths: Sequence[int], n_shared: int, most: int) -> list[int]:
    """Choose the lengths that prompts are padded to when any subset of them may be requested.

    >>> length_buckets([40, 12, 12, 9, 9, 9, 8, 8, 8, 8], n_shared=5, most=3)
    [40, 12, 9]

    Args:
        lengths: of all prompts, in tokens, in descending order.
        n_shared: number of leading tokens shared by all prompts, which are encoded only once.
        most: maximum number of different lengths.

    Returns:
        Lengths in descending order that minimise the total number of tokens when each prompt is padded to the next one.
    """
    counts = [(length, len(list(same))) for length, same in groupby(lengths)]
    # best[i]: the fewest tokens for prompts from the i-th length on with the buckets allowed so far, and these buckets
    best = [(0 if i == len(counts) else float("inf"), []) for i in range(len(counts) + 1)]
    for _ in range(most):
        best = [min(_ways(counts, best, i, n_shared), key=lambda way: way[0]) for i in range(len(counts))] + best[-1:]
    return best[0][1]


def _ways(
    counts: list[tuple[int, int]], best: list[tuple[float, list[int]]], i: int, n_shared: int
) -> list[tuple[float, list[int]]]:
    """Costs of a bucket from the i-th length down to each shorter one, with the best buckets for the rest."""
    length, n_prompts, ways = counts[i][0], 0, []
    for j in range(i, len(counts)):
        n_prompts += counts[j][1]
        tokens, buckets = best[j + 1]
        ways.append((tokens + (length - n_shared) * n_prompts, [length, *buckets]))
    return ways
