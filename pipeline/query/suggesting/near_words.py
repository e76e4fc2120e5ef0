"""Near words for those of a query that the index does not hold.

Terms are kept as hashes. So the words at one slip from the query's word are analysed and looked up; where there are
none and it is long, the words of each segment at two slips from it, or, where a segment has no list of words, all
that two slips make of it. A chunk that has such a term then shows the word itself: what a reader may not see gives
no suggestion. Of learned weights every word has pieces: none is missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.arrays import distinct
from pipeline.index.lexical.search import SparseQuery
from pipeline.index.words.spans import word_spans
from pipeline.names import LEXICAL as LEXICAL_LEG
from pipeline.query.legs.contract import Leg
from pipeline.query.legs.lexical import LexicalLeg
from pipeline.query.snapshot import Snapshot
from pipeline.query.suggesting.edits import distance, further_edits, is_syllable, letter_edits, syllable_edits
from pipeline.records import Suggestion

NEAR = 3
"""How many words are suggested for one."""
SHORTEST, LONG, LONGEST = 3, 6, 16
"""Letters: shorter words have too many neighbours; from `LONG` on two slips are tried; above `LONGEST` none."""
_TERMS = 32
"""Of how many terms the words are looked at, those of most chunks first."""
_WORDS = 8
"""For how many words of a query near ones are looked for."""

_NONE = np.zeros(0, np.int64)

Describe = Callable[[str], Mapping[int, str]]


class NearWords:
    """Looks up words of one snapshot."""

    def __init__(self, snapshot: Snapshot, legs: Mapping[str, Leg[Any]], describe: Describe) -> None:
        """`describe`: a text's terms by their ids."""
        leg = legs.get(LEXICAL_LEG)
        self._leg = leg if isinstance(leg, LexicalLeg) and snapshot.manifest.lexical.kind == "bm25" else None
        self._snapshot, self._describe = snapshot, describe

    def suggestions(self, text: str) -> list[Suggestion]:
        """For each word of a text that the index does not hold, near ones that it does, nearest and most frequent
        first; none for words without."""
        if self._leg is None:
            return []
        found = []
        looked_for = 0
        for start, end in word_spans(text):
            word = text[start:end].casefold()
            if looked_for == _WORDS or not _has_neighbours(word) or self._holds(self._describe(word)):
                continue
            looked_for += 1
            near = self._hangul(word) if is_syllable(word[0]) else self._letters(word)
            if near:
                found.append(Suggestion(text[start:end], start, end, tuple(near[:NEAR])))
        return found

    def _holds(self, terms: Iterable[int]) -> bool:
        wanted = list(terms)
        return len(self._held(wanted)) == len(wanted)

    def _letters(self, word: str) -> list[str]:
        edits = letter_edits(word)
        near = self._shown(word, self._held(self._describe(" ".join(edits))), 1)
        if not near and len(word) >= LONG:
            words = self._snapshot.words_near(word, 2)
            further = further_edits(word) if words is None else words
            near = self._shown(word, self._held(self._describe(" ".join(further))), 2)
        return near

    def _shown(self, word: str, terms: list[int], most: int) -> list[str]:
        """The words that have these terms, at most so many slips from a word."""
        found: dict[str, tuple[int, bool, int]] = {}
        looked_at = terms[:_TERMS]
        for place, (term, words) in enumerate(
            zip(looked_at, self._words_with([[one] for one in looked_at]), strict=True)
        ):
            for other in words:
                if other not in found and term in self._describe(other) and other != word:
                    found[other] = distance(word, other), other[0] != word[0], place
        near = sorted((key, other) for other, key in found.items() if key[0] <= most)
        return [other for _, other in near]

    def _hangul(self, word: str) -> list[str]:
        edits = {edit: set(self._describe(edit)) for edit in syllable_edits(word)}
        held = set(self._held(set().union(*edits.values())))
        whole = [edit for edit, terms in sorted(edits.items()) if terms <= held and len(edit) > 1]
        words = self._words_with([edits[edit] for edit in whole[:_TERMS]])
        shown = [
            edit for edit, some in zip(whole, words, strict=False) if any(one.startswith(edit) for one in some)
        ]
        return sorted(shown, key=lambda edit: (distance(word, edit), edit))

    def _words_with(self, wanted: Sequence[Iterable[int]]) -> list[set[str]]:
        """For each of some sets of terms, the words of a chunk that has all of them, if one has; of the best of
        those that have some."""
        assert self._leg is not None
        ids = [np.array(sorted(terms), np.uint64) for terms in wanted]
        queries = [SparseQuery(some, np.ones(len(some), np.float32)) for some in ids]
        rankings = self._leg.candidates(queries, 1) if queries else []
        texts = iter(self._snapshot.encoded_texts(np.concatenate([_NONE, *(one.ids for one in rankings)])))
        return [_words(itertools.islice(texts, len(one.ids))) for one in rankings]

    def _held(self, terms: Iterable[int]) -> list[int]:
        """Those of some terms that live chunks have, those of most chunks first."""
        assert self._leg is not None
        ids = distinct(np.fromiter(terms, np.uint64))
        anywhere = self._snapshot.stored(ids)  # deleted chunks are counted out of the few that are left
        kept = self._leg.weigh(ids[anywhere], np.ones(int(anywhere.sum()), np.float32))
        order = np.lexsort((kept.token_ids, kept.weights))
        found: list[int] = kept.token_ids[order].tolist()
        return found


def _words(texts: Iterable[str]) -> set[str]:
    return {text[a:b].casefold() for text in texts for a, b in word_spans(text)}


def _has_neighbours(word: str) -> bool:
    if all(map(is_syllable, word)):
        return 1 < len(word) <= LONGEST
    return SHORTEST <= len(word) <= LONGEST and word.isalpha() and not any(map(is_syllable, word))
