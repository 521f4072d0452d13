"""The compiled loops of BM25: building an index, and searching it.

Scores are added up in double precision from impacts in single precision: such sums are exact, so
they do not depend on the order of the words, and documents that should tie do.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int32] | NDArray[np.int64]
Floats = NDArray[np.float32] | NDArray[np.float64]


@njit(nogil=True, cache=True)
def invert(
    words: NDArray[np.int32], starts: NDArray[np.int64], order: NDArray[np.int64], n_words: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Turns documents into postings.

    Args:
        words: those of all documents, one document after the other.
        starts: where each document starts in ``words``, and where the last ends.
        order: the document at each place.
        n_words: how many different ones there are.

    Returns:
        where each word's postings start and the last one's end, (n_words + 1,); and of each
        posting the place of the document, ascending, and how often the word occurs there.
    """
    last_place = np.full(n_words, -1, dtype=np.int64)
    pointers = np.zeros(n_words + 1, dtype=np.int64)
    for place in range(len(order)):
        for i in range(starts[order[place]], starts[order[place] + 1]):
            if last_place[words[i]] != place:
                last_place[words[i]] = place
                pointers[words[i] + 1] += 1
    pointers = np.cumsum(pointers)
    places = np.empty(pointers[-1], dtype=np.int32)
    times = np.empty(pointers[-1], dtype=np.int32)
    ends = pointers[:-1].copy()
    last_place[:] = -1
    for place in range(len(order)):
        for i in range(starts[order[place]], starts[order[place] + 1]):
            word = words[i]
            if last_place[word] != place:
                last_place[word] = place
                places[ends[word]] = place
                times[ends[word]] = 0
                ends[word] += 1
            times[ends[word] - 1] += 1
    return pointers, places, times


@njit(nogil=True, cache=True)
def weigh(
    pointers: NDArray[np.int64],
    places: NDArray[np.int32],
    times: NDArray[np.int32],
    norms: NDArray[np.float64],
    idf: NDArray[np.float64],
    k1: float,
) -> NDArray[np.float32]:
    """What each word contributes to the score of each document that has it.

    Args:
        pointers, places, times: the postings, as `invert` returns them.
        norms: k1 · (1 − b + b · length / mean length) of the document at each place.
        idf: of each word.

    Returns:
        the contribution of each posting.
    """
    impacts = np.empty(len(places), dtype=np.float32)
    for word in range(len(idf)):
        for i in range(pointers[word], pointers[word + 1]):
            impacts[i] = idf[word] * (times[i] * (k1 + 1) / (times[i] + norms[places[i]]))
    return impacts


@njit(nogil=True, cache=True)
def _add(
    impacts: Floats,
    places: Ints,
    pointers: Ints,
    words: Ints,
    times: Ints,
    spans: Ints,
    scores: Floats,
) -> None:
    """Adds what some words contribute to the documents in some spans."""
    for i in range(len(words)):
        first, end = pointers[words[i]], pointers[words[i] + 1]
        for s in range(len(spans)):
            start, stop = first, end
            if spans[s, 0] > 0:
                start += np.searchsorted(places[first:end], spans[s, 0])
            if spans[s, 1] < len(scores):
                stop = start + np.searchsorted(places[start:end], spans[s, 1])
            for j in range(start, stop):
                scores[places[j]] += times[i] * impacts[j]


@njit(nogil=True, cache=True)
def _is_worse(score: float, id: int, other_score: float, other_id: int) -> bool:
    return score < other_score or (score == other_score and id > other_id)


@njit(nogil=True, cache=True)
def _sink(heap_scores: Floats, heap_ids: Ints, place: int, size: int) -> None:
    """Lets an entry sink to its place in a heap that has the worst entry on top."""
    score, id = heap_scores[place], heap_ids[place]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _is_worse(
            heap_scores[child + 1], heap_ids[child + 1], heap_scores[child], heap_ids[child]
        ):
            child += 1
        if not _is_worse(heap_scores[child], heap_ids[child], score, id):
            break
        heap_scores[place], heap_ids[place] = heap_scores[child], heap_ids[child]
        place = child
    heap_scores[place], heap_ids[place] = score, id


@njit(nogil=True, cache=True)
def _best(scores: Floats, ids: Ints, spans: Ints, found_ids: Ints, found_scores: Floats) -> int:
    """Fills the arrays with the best documents that score above 0 and returns how many it found."""
    top_k, size = len(found_ids), 0
    for s in range(len(spans)):
        for place in range(spans[s, 0], spans[s, 1]):
            score = np.float32(scores[place])
            if score <= 0 or (size == top_k and score < found_scores[0]):
                continue
            id = ids[place]
            if size < top_k:
                found_scores[size], found_ids[size] = score, id
                size += 1
                if size == top_k:
                    for i in range(size // 2 - 1, -1, -1):
                        _sink(found_scores, found_ids, i, size)
            elif _is_worse(found_scores[0], found_ids[0], score, id):
                found_scores[0], found_ids[0] = score, id
                _sink(found_scores, found_ids, 0, size)
    if size < top_k:
        for i in range(size // 2 - 1, -1, -1):
            _sink(found_scores, found_ids, i, size)
    for last in range(size - 1, 0, -1):  # a heap sort: the worst goes last
        found_scores[0], found_scores[last] = found_scores[last], found_scores[0]
        found_ids[0], found_ids[last] = found_ids[last], found_ids[0]
        _sink(found_scores, found_ids, 0, last)
    return size


@njit(nogil=True, cache=True)
def search(
    impacts: NDArray[np.float32],
    places: NDArray[np.int32],
    pointers: NDArray[np.int64],
    ids: NDArray[np.int64],
    words: NDArray[np.int32],
    times: NDArray[np.int32],
    word_bounds: NDArray[np.int64],
    part_bounds: NDArray[np.int64],
    spans: NDArray[np.int64],
    span_bounds: NDArray[np.int64],
    first: int,
    last: int,
    found_ids: NDArray[np.int64],
    found_scores: NDArray[np.float32],
    found: NDArray[np.int64],
) -> None:
    """Answers queries [first, last).

    Each query consists of parts, first its stem, then its endings; each part of words. What the
    stem contributes is added up once, and to a copy of it what each ending does.

    Args:
        impacts, places, pointers: the postings: what a word contributes to a document's score,
            the document's place, and where each word's postings start.
        ids: the document at each place.
        words, times: the words of all parts, and how often each is in its part.
        word_bounds: where each part starts in ``words``, and where the last ends.
        part_bounds: where the parts of each query start, and where the last one's end.
        spans, span_bounds: the places where each query may find documents, [start, end).
        found_ids, found_scores: filled with what is found, (endings of all queries, top_k).
        found: filled with how many were found, (endings of all queries,).
    """
    scores = np.zeros(len(ids))
    of_stem = np.zeros(len(ids))
    for query in range(first, last):
        within = spans[span_bounds[query] : span_bounds[query + 1]]
        stem, end = part_bounds[query], part_bounds[query + 1]
        for s in range(len(within)):
            scores[within[s, 0] : within[s, 1]] = 0
        part = slice(word_bounds[stem], word_bounds[stem + 1])
        _add(impacts, places, pointers, words[part], times[part], within, scores)
        if end - stem > 2:
            for s in range(len(within)):
                of_stem[within[s, 0] : within[s, 1]] = scores[within[s, 0] : within[s, 1]]
        for ending in range(stem + 1, end):
            if ending > stem + 1:
                for s in range(len(within)):
                    scores[within[s, 0] : within[s, 1]] = of_stem[within[s, 0] : within[s, 1]]
            part = slice(word_bounds[ending], word_bounds[ending + 1])
            _add(impacts, places, pointers, words[part], times[part], within, scores)
            row = ending - query - 1  # every query before has one stem, which has no row
            found[row] = _best(scores, ids, within, found_ids[row], found_scores[row])
