"""What the page says, in English and Korean, and in which of the two it says it to whom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """All words of the interface in one language. `{}` takes a value, `one|many` depends on a count."""

    code: str
    search: str
    placeholder: str
    index: str
    mode: str
    modes: dict[str, str]
    legs: dict[str, str]
    options: str
    filter: str
    filter_example: str
    filter_help: str
    collapse: str
    explain: str
    narrow: str
    chosen: str
    remove: str
    clear: str
    more_values: str
    results: str
    similar_results: str
    result_title: str
    similar_title: str
    similar_to: str
    more: str
    rank: str
    similar: str
    source: str
    in_context: str
    whole_document: str
    why: str
    leg: str
    contribution: str
    leg_score: str
    weight: str
    shared_words: str
    trust: str
    no_trust: str
    place: str
    page: str
    pages: str
    beyond: str
    boost: str
    did_you_mean: str
    total: str
    nothing: str
    advice_filter: str
    advice_words: str
    advice_mode: str
    empty_index: str
    intro: str
    documents: str
    passages: str
    built: str
    report: str
    generation: str
    no_report: str
    failed_build: str
    failed_after: str
    api: str
    skip: str
    keys: str
    back: str
    metadata: str
    passages_of: str
    earlier: str
    later: str
    not_found: str
    not_found_help: str
    no_document: str
    wrong: str
    busy: str
    unavailable: str
    slow: str
    failed: str
    bad_filter: str
    other_language: str
    other_code: str
    date: str

    def count(self, phrase: str, number: int) -> str:
        """`1 passage`, `2,000 passages`."""
        one, _, many = phrase.partition("|")
        return (one if number == 1 or not many else many).format(f"{number:,}")

    def day(self, year: int, month: int, day: int) -> str:
        """A date as people write it."""
        name = _MONTHS[month - 1] if self.code == "en" else str(month)
        return self.date.format(year=year, month=name, day=day)

    def leg_name(self, leg: str) -> str:
        """What people call a leg; its own name where there is no other."""
        return self.legs.get(leg, leg)


_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

ENGLISH = Words(
    code="en",
    search="Search",
    placeholder="Ask a question, or give a few words",
    index="Index",
    mode="Search by",
    modes={"hybrid": "Meaning and words", "dense": "Meaning", "lexical": "Words"},
    legs={"dense": "meaning", "lexical": "words", "reranker": "second look", "multivector": "word by word"},
    options="Filter and options",
    filter="Filter",
    filter_example="lang = 'ko' and year >= 2024",
    filter_help="A condition on the documents' metadata, in SQL.",
    collapse="Only the best passage of each document",
    explain="Explain the ranking",
    narrow="Narrow down",
    chosen="Chosen",
    remove="Remove {}",
    clear="Remove all conditions",
    more_values="{} more",
    results="The best passage|The {} best passages",
    similar_results="One similar document|{} similar documents",
    result_title="{} – Search",
    similar_title="Similar to {}",
    similar_to="Similar to",
    more="More results",
    rank="Result {}",
    similar="Similar documents",
    source="Source",
    in_context="Read in context",
    whole_document="Open the document here",
    why="Why it is here",
    leg="Search by",
    contribution="Part of the score",
    leg_score="Score",
    weight="Weight",
    shared_words="Words in common",
    trust="How far each kind of search was trusted",
    no_trust="The kinds of search count by the weights shown at each result.",
    place="#{}",
    page="p. {}",
    pages="pp. {}–{}",
    beyond="beyond",
    boost="boost",
    did_you_mean="No text has {}; did you mean {}?",
    total="Total",
    nothing="Nothing was found",
    advice_filter="Remove the conditions: they may leave out what you look for.",
    advice_words="Use other or fewer words, or the words that the documents would use.",
    advice_mode="Search by meaning and words together.",
    empty_index="This index is still empty. Results appear here after the next build.",
    intro="Search documents by what they mean and by the words they use.",
    documents="{} document|{} documents",
    passages="{} passage|{} passages",
    built="Built on {}",
    report="Build report",
    generation="Generation {}",
    no_report="There is no build report of this index here.",
    failed_build="The last build failed on {}; nothing was published, and searches go on as before.",
    failed_after="It had run for {}.",
    api="API",
    skip="Skip to the results",
    keys="to search, arrows to move, Enter to open",
    back="Back to the search",
    metadata="About this document",
    passages_of="Passages {} to {} of {}",
    earlier="Earlier passages",
    later="Later passages",
    not_found="There is nothing at this address",
    not_found_help="The link may be old or mistyped. Search for it instead:",
    no_document="The index has no such document",
    wrong="The search could not be understood",
    busy="Too many people are searching right now. Please try again in a moment.",
    unavailable="The search cannot be used right now. Please try again later.",
    slow="The search took too long. Try a simpler filter.",
    failed="Something went wrong. The operator finds the cause in the log under the number {}.",
    bad_filter="The filter could not be understood",
    other_language="한국어",
    other_code="ko",
    date="{day} {month} {year}",
)

KOREAN = Words(
    code="ko",
    search="검색",
    placeholder="궁금한 것을 묻거나 낱말을 입력하세요",
    index="색인",
    mode="검색 방식",
    modes={"hybrid": "의미와 낱말", "dense": "의미", "lexical": "낱말"},
    legs={"dense": "의미", "lexical": "낱말", "reranker": "다시 보기", "multivector": "낱말별 의미"},
    options="필터와 옵션",
    filter="필터",
    filter_example="lang = 'ko' and year >= 2024",
    filter_help="문서 메타데이터에 대한 SQL 조건입니다.",
    collapse="문서마다 가장 좋은 구절만 보기",
    explain="순위 설명 보기",
    narrow="좁혀 보기",
    chosen="선택한 조건",
    remove="{} 조건 빼기",
    clear="조건 모두 빼기",
    more_values="{}개 더 보기",
    results="가장 가까운 구절 {}개",
    similar_results="비슷한 문서 {}개",
    result_title="{} – 검색",
    similar_title="비슷한 문서: {}",
    similar_to="비슷한 문서:",
    more="결과 더 보기",
    rank="{}번째 결과",
    similar="비슷한 문서",
    source="원문",
    in_context="앞뒤 글과 함께 읽기",
    whole_document="여기서 문서 열기",
    why="이 순위인 까닭",
    leg="검색 방식",
    contribution="점수 기여",
    leg_score="점수",
    weight="가중치",
    shared_words="겹치는 낱말",
    trust="검색 방식별 신뢰도",
    no_trust="각 결과에 보이는 가중치대로 합산했습니다.",
    place="{}위",
    page="{}쪽",
    pages="{}–{}쪽",
    beyond="순위 밖",
    boost="가중",
    did_you_mean="{}: 색인에 없는 낱말입니다. 찾으시는 말: {}?",
    total="합계",
    nothing="찾은 것이 없습니다",
    advice_filter="조건을 빼 보세요. 찾는 문서가 조건 때문에 빠졌을 수 있습니다.",
    advice_words="다른 낱말이나 더 적은 낱말, 또는 문서에 나올 법한 표현을 써 보세요.",
    advice_mode="의미와 낱말을 함께 써서 검색해 보세요.",
    empty_index="아직 비어 있는 색인입니다. 다음 빌드가 끝나면 결과가 나옵니다.",
    intro="문서를 뜻과 낱말로 함께 찾습니다.",
    documents="문서 {}개",
    passages="구절 {}개",
    built="{}에 만든 색인",
    report="빌드 보고서",
    generation="{}세대",
    no_report="이 색인의 빌드 보고서가 없습니다.",
    failed_build="{}의 마지막 빌드는 실패했습니다. 새로 발행된 것은 없고, 검색은 전과 같이 됩니다.",
    failed_after="실패할 때까지 {} 걸렸습니다.",
    api="API",
    skip="결과로 건너뛰기",
    keys="검색창 · 화살표로 이동 · Enter로 열기",
    back="검색으로 돌아가기",
    metadata="문서 정보",
    passages_of="구절 {}–{} (모두 {}개)",
    earlier="앞 구절",
    later="다음 구절",
    not_found="이 주소에는 아무것도 없습니다",
    not_found_help="오래되었거나 잘못 입력한 링크일 수 있습니다. 검색해 보세요.",
    no_document="색인에 그런 문서가 없습니다",
    wrong="검색을 이해하지 못했습니다",
    busy="지금은 검색하는 사람이 너무 많습니다. 잠시 뒤에 다시 시도해 주세요.",
    unavailable="지금은 검색을 쓸 수 없습니다. 나중에 다시 시도해 주세요.",
    slow="검색이 너무 오래 걸렸습니다. 더 간단한 필터를 써 보세요.",
    failed="문제가 생겼습니다. 운영자는 기록에서 다음 번호로 원인을 찾을 수 있습니다: {}",
    bad_filter="필터를 이해하지 못했습니다",
    other_language="English",
    other_code="en",
    date="{year}년 {month}월 {day}일",
)

_BY_CODE = {words.code: words for words in (ENGLISH, KOREAN)}


def words_for(chosen: str | None, accepted: str) -> Words:
    """The words of the language that was `chosen`, else of the first that `Accept-Language` wants, else English."""
    if chosen in _BY_CODE:
        return _BY_CODE[chosen]
    wanted: list[tuple[float, str]] = []
    for part in accepted.split(",")[:20]:
        name, _, quality = part.partition(";")
        code = name.strip().lower().partition("-")[0]
        if code in _BY_CODE:
            wanted.append((_quality(quality), code))
    best = max(wanted, key=lambda pair: pair[0], default=(0.0, ENGLISH.code))
    return _BY_CODE[best[1]] if best[0] > 0 else ENGLISH


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
