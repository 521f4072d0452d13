"""The compiled loops of BM25: building an index, and searching it.

Scores are sums in double precision of impacts in single precision. Such sums are exact while the
largest impact is less than a million times the smallest (the 24 bits of each and the carries fit
into 53), so they do not depend on the order of words, and documents that should tie do.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int32] | NDArray[np.int64]
Floats = NDArray[np.float32] | NDArray[np.float64]

BLOCK = 16384  # documents
_STRIDE = 64  # documents


@njit(nogil=True, cache=True)
def invert(
    words: NDArray[np.int32], starts: NDArray[np.int64], order: NDArray[np.int64], n_words: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Turns documents into postings.

    Args:
        words: those of all documents, one document after the other.
        starts: where each document starts in ``words``, and where the last ends.
        order: the document in each row of the index.
        n_words: how many different ones there are.

    Returns:
        where each word's postings start and the last one's end, (n_words + 1,); and of each
        posting the row of the document, ascending, and how often the word occurs in it.
    """
    last_row = np.full(n_words, -1, dtype=np.int64)
    pointers = np.zeros(n_words + 1, dtype=np.int64)
    for row in range(len(order)):
        for i in range(starts[order[row]], starts[order[row] + 1]):
            if last_row[words[i]] != row:
                last_row[words[i]] = row
                pointers[words[i] + 1] += 1
    pointers = np.cumsum(pointers)
    rows = np.empty(pointers[-1], dtype=np.int32)
    times = np.empty(pointers[-1], dtype=np.int32)
    ends = pointers[:-1].copy()
    last_row[:] = -1
    for row in range(len(order)):
        for i in range(starts[order[row]], starts[order[row] + 1]):
            word = words[i]
            if last_row[word] != row:
                last_row[word] = row
                rows[ends[word]] = row
                times[ends[word]] = 0
                ends[word] += 1
            times[ends[word] - 1] += 1
    return pointers, rows, times


@njit(nogil=True, cache=True)
def weigh(
    pointers: NDArray[np.int64],
    rows: NDArray[np.int32],
    times: NDArray[np.int32],
    norms: NDArray[np.float64],
    idf: NDArray[np.float64],
    k1: float,
) -> NDArray[np.float32]:
    """What each word contributes to the score of each document that has it.

    Args:
        pointers, rows, times: the postings, as `invert` returns them.
        norms: k1 · (1 − b + b · length / mean length) of the document in each row.
        idf: of each word.

    Returns:
        the contribution of each posting.
    """
    impacts = np.empty(len(rows), dtype=np.float32)
    for word in range(len(idf)):
        for i in range(pointers[word], pointers[word + 1]):
            impacts[i] = idf[word] * (times[i] * (k1 + 1) / (times[i] + norms[rows[i]]))
    return impacts


@njit(nogil=True, cache=True)
def _add(
    impacts: Floats,
    rows: Ints,
    words: Ints,
    times: Ints,
    ends: Ints,
    cursors: Ints,
    start: int,
    stop: int,
    scores: Floats,
) -> None:
    """Adds what some words contribute to the documents in rows [start, stop).

    The cursor of each word is at its first posting there, and is moved to the first one after.
    """
    for i in range(len(words)):
        cursor, often = cursors[i], np.float64(times[i])
        end = min(ends[i], cursor + stop - start)
        if cursor < end and rows[end - 1] >= stop:
            end = cursor + np.searchsorted(rows[cursor:end], stop)
        hit, impact = rows[cursor:end], impacts[cursor:end]
        for j in range(len(hit)):
            # Unsigned, so that Numba need not handle negative indexes.
            scores[np.uint32(hit[j] - start)] += often * impact[j]
        cursors[i] = end


@njit(nogil=True, cache=True)
def _is_worse(
    score: np.float32, id: int, other_score: np.float32, other_id: int
) -> bool | np.bool_:
    return score < other_score or (score == other_score and id > other_id)


@njit(nogil=True, cache=True)
def _sink(heap_scores: Floats, heap_ids: Ints, position: int, size: int) -> None:
    """Lets an entry sink to its position in a heap that has the worst entry on top."""
    score, id = heap_scores[position], heap_ids[position]
    while 2 * position + 1 < size:
        child = 2 * position + 1
        if child + 1 < size and _is_worse(
            heap_scores[child + 1], heap_ids[child + 1], heap_scores[child], heap_ids[child]
        ):
            child += 1
        if not _is_worse(heap_scores[child], heap_ids[child], score, id):
            break
        heap_scores[position], heap_ids[position] = heap_scores[child], heap_ids[child]
        position = child
    heap_scores[position], heap_ids[position] = score, id


@njit(nogil=True, cache=True)
def _offer(score: np.float32, id: int, found_scores: Floats, found_ids: Ints, size: int) -> int:
    """Adds a document to the best if it is one of them, and returns how many there are now.

    Once they are as many as wanted, the best are a heap with the worst on top.
    """
    if size < len(found_ids):
        found_scores[size], found_ids[size] = score, id
        size += 1
        if size == len(found_ids):
            for position in range(size // 2 - 1, -1, -1):
                _sink(found_scores, found_ids, position, size)
    elif _is_worse(found_scores[0], found_ids[0], score, id):
        found_scores[0], found_ids[0] = score, id
        _sink(found_scores, found_ids, 0, size)
    return size


@njit(nogil=True, cache=True)
def _sort(found_scores: Floats, found_ids: Ints, size: int) -> None:
    """Sorts the best, best first."""
    for position in range(size // 2 - 1, -1, -1):
        _sink(found_scores, found_ids, position, size)
    for last in range(size - 1, 0, -1):  # the worst is on top of the heap
        found_scores[0], found_scores[last] = found_scores[last], found_scores[0]
        found_ids[0], found_ids[last] = found_ids[last], found_ids[0]
        _sink(found_scores, found_ids, 0, last)


@njit(nogil=True, cache=True)
def _offer_all(scores: Floats, ids: Ints, found_scores: Floats, found_ids: Ints, size: int) -> int:
    """Offers all documents that score above 0."""
    for start in range(0, len(scores), _STRIDE):
        part = scores[start : start + _STRIDE]
        least = found_scores[0] if size == len(found_ids) else np.float32(0)
        promising = np.int64(0)
        for i in range(len(part)):  # without branches; most often the slower loop is not needed
            promising += np.float32(part[i]) >= least
        if promising == 0:
            continue
        for i in range(len(part)):
            score = np.float32(part[i])
            if score > 0 and (size < len(found_ids) or score >= found_scores[0]):
                size = _offer(score, ids[start + i], found_scores, found_ids, size)
    return size


@njit(nogil=True, cache=True)
def search(
    impacts: NDArray[np.float32],
    rows: NDArray[np.int32],
    pointers: NDArray[np.int64],
    ids: NDArray[np.int64],
    words: NDArray[np.int32],
    times: NDArray[np.int32],
    word_bounds: NDArray[np.int64],
    part_bounds: NDArray[np.int64],
    spans: NDArray[np.int64],
    span_bounds: NDArray[np.int64],
    found_ids: NDArray[np.int64],
    found_scores: NDArray[np.float32],
    found: NDArray[np.int64],
) -> None:
    """Finds the best documents for queries.

    Each query consists of parts, first its shared text, then its suffixes; each part of words. What
    the shared text contributes is added up once, and what each suffix does to a copy of it. That is
    done for one block of documents after the other, so that scores stay in the fastest cache.

    Args:
        impacts, rows, pointers: the postings: what a word contributes to a document's score,
            the document's row, and where each word's postings start.
        ids: the document in each row.
        words, times: the words of all parts, and how often each is in its part.
        word_bounds: where each part starts in ``words``, and where the last ends.
        part_bounds: where the parts of each query start, and where the last one's end.
        spans, span_bounds: the rows among which each query searches, [start, end).
        found_ids, found_scores: filled with the best, (suffixes of all queries, top_k).
        found: filled with how many there are, (suffixes of all queries,).
    """
    scores, of_shared = np.empty(BLOCK), np.empty(BLOCK)
    for query in range(len(part_bounds) - 1):
        shared, end = part_bounds[query], part_bounds[query + 1]
        first = shared - query  # there is a result for each suffix, and none for shared texts
        results = range(first, first + end - shared - 1)
        for each in results:
            found[each] = 0
        offset = word_bounds[shared]
        all_words = words[offset : word_bounds[end]]
        cursors, ends = pointers[all_words], pointers[all_words + 1]
        for span in spans[span_bounds[query] : span_bounds[query + 1]]:
            if span[0] > 0:
                for i in range(len(cursors)):
                    cursors[i] += np.searchsorted(rows[cursors[i] : ends[i]], span[0])
            for start in range(span[0], span[1], BLOCK):
                stop = min(start + BLOCK, span[1])
                size = stop - start
                of_shared[:size] = 0
                for part in range(shared, end):
                    of_part = slice(word_bounds[part], word_bounds[part + 1])
                    cursors_of_part = slice(
                        word_bounds[part] - offset, word_bounds[part + 1] - offset
                    )
                    # The last suffix needs no copy of what the shared text contributes.
                    into = scores if shared < part < end - 1 else of_shared
                    if shared < part < end - 1:
                        scores[:size] = of_shared[:size]
                    _add(
                        impacts,
                        rows,
                        words[of_part],
                        times[of_part],
                        ends[cursors_of_part],
                        cursors[cursors_of_part],
                        start,
                        stop,
                        into,
                    )
                    if part > shared:
                        each = first + part - shared - 1
                        found[each] = _offer_all(
                            into[:size],
                            ids[start:stop],
                            found_scores[each],
                            found_ids[each],
                            found[each],
                        )
        for each in results:
            _sort(found_scores[each], found_ids[each], found[each])
