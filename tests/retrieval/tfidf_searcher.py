"""A search method as somebody adds it: TF-IDF (Salton & Buckley, 1988), in memory."""

from collections import Counter, defaultdict

import numpy as np

from kformer.retrieval.query import best
from kformer.retrieval.words.tokenizer import tokenizer


class TfIdf:
    """Ranks documents by the cosine of word counts, each times log(documents / with the word)."""

    def __init__(self, settings, documents):
        self._tokenise = tokenizer(settings.words)
        self._relations = documents.relations.to_pylist()
        self.relations = frozenset(self._relations)
        counts = [Counter(self._tokenise(text)) for text in documents.texts]
        documents_with = Counter(word for each in counts for word in each)
        self._idf = {word: np.log(len(counts) / n) for word, n in documents_with.items()}
        self._postings = defaultdict(list)
        for document, each in enumerate(counts):
            for word, weight in self._weights(each).items():
                self._postings[word].append((document, weight))

    def search(self, queries, top_k):
        return [[self._hits(text, query, top_k) for text in query.texts] for query in queries]

    def _weights(self, counts):
        weights = {word: n * self._idf[word] for word, n in counts.items() if word in self._idf}
        norm = np.linalg.norm(list(weights.values()))
        return {word: weight / norm for word, weight in weights.items() if weight}

    def _hits(self, text, query, top_k):
        scores = np.zeros(len(self._relations), dtype=np.float32)
        for word, weight in self._weights(Counter(self._tokenise(text))).items():
            for document, of_document in self._postings[word]:
                scores[document] += weight * of_document
        wanted = [query.relations is None or each in query.relations for each in self._relations]
        ids = np.flatnonzero((scores > 0) & np.array(wanted, dtype=bool))
        return best(ids, scores[ids], top_k)
