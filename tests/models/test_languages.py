"""Languages → stemmers: inflected words meet in each, a script has one, and a collection's own are found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Bm25Settings
from pipeline.errors import ConfigError
from pipeline.models.bm25.analyzer import Analyzer
from pipeline.models.bm25.detection import languages_of
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.bm25.languages import STEMMERS, WITHOUT_STEMMER, recorded_stemming, stemmers_of

FORMS = {
    "de": [("Häuser", "Hauses"), ("Einstellung", "Einstellungen"), ("gesucht", "gesuchte"), ("STRASSEN", "Straße")],
    "es": [
        ("índices", "índice"),
        ("buscando", "buscar"),
        ("documentación", "documentaciones"),
        ("rápida", "rápidos"),
    ],
    "fi": [("talossa", "taloon"), ("hakemistoja", "hakemistot"), ("asiakirjojen", "asiakirjoja")],
    "fr": [("fichiers", "fichier"), ("cherchait", "chercher"), ("générale", "généraux")],
    "it": [("libri", "libro"), ("cercando", "cercare")],
    "pt": [("ficheiros", "ficheiro"), ("procurando", "procurar")],
    "sv": [("husen", "huset"), ("filerna", "filen")],
    "ru": [("индексы", "индексами"), ("поисковый", "поисковая"), ("документов", "документу")],
    "sr": [("кућама", "кућу")],
    "ar": [("الكتاب", "كتاب"), ("المدرسة", "مدرسة"), ("المكتبة", "مكتبة")],
    "el": [("δρόμος", "δρόμοι"), ("ΔΡΌΜΟΥ", "δρόμο")],
    "hi": [("किताबें", "किताबों")],
    "hu": [("házban", "házak")],
    "tr": [("kitaplar", "kitaplarda")],
    "ta": [("புத்தகங்கள்", "புத்தகங்களை")],
}
TEXTS = {
    "de": "Die Suche findet Dokumente auch dann, wenn ihre Wörter in anderen Formen stehen.",
    "es": "La búsqueda encuentra los documentos aunque sus palabras tengan otra forma.",
    "fi": "Haku löytää asiakirjat myös silloin, kun niiden sanat ovat eri muodoissa.",
    "fr": "La recherche trouve les documents même si leurs mots ont une autre forme.",
    "en": "The search finds documents even where their words have another form.",
    "ru": "Поиск находит документы и тогда, когда их слова стоят в других формах.",
    "ar": "يعثر البحث على المستندات حتى عندما تكون كلماتها في صيغ أخرى.",
    "el": "Η αναζήτηση βρίσκει τα έγγραφα ακόμη και όταν οι λέξεις τους έχουν άλλη μορφή.",
    "vi": "Tìm kiếm các tài liệu ngay cả khi từ ngữ của chúng có dạng khác nhau.",
    "uk": "Пошук знаходить документи навіть тоді, коли їхні слова мають інші форми.",
    "ko": "검색은 단어가 다른 꼴일 때에도 문서를 찾습니다.",
    "ja": "検索は単語が別の形のときにも文書を見つけます。",
}


def analyzer(*languages: str) -> Analyzer:
    stemmers = stemmers_of(Bm25Settings(languages=list(languages)))
    return Analyzer(stemmers.latin, None, stemmers.others)


@pytest.mark.parametrize(
    ("code", "one", "other"), [(code, one, other) for code, pairs in FORMS.items() for one, other in pairs]
)
def test_two_forms_of_a_word_are_one_term(code: str, one: str, other: str) -> None:
    terms = analyzer(code).terms
    assert terms(one) == terms(other)
    assert len(terms(one)) == 1
    assert analyzer().terms(one) != analyzer().terms(other)  # unstemmed they are two


def test_every_stemmer_of_the_table_is_one_of_snowball() -> None:
    codes = [code for names in STEMMERS.values() for code in names]
    assert len(set(codes)) == len(codes)
    assert not WITHOUT_STEMMER & set(codes)
    assert {name for names in STEMMERS.values() for name in names.values()} <= set(Stemmer.algorithms())


def test_each_script_is_stemmed_in_its_own_language() -> None:
    both = analyzer("de", "ru").terms
    assert both("Häuser und индексами") == ["haus", "und", *analyzer("ru").terms("индексами")]
    assert both("الكتاب") == ["الكتاب"]
    assert both("검색 東京") == analyzer().terms("검색 東京")
    assert analyzer("ru").terms("Running runs") == ["running", "runs"]  # of a script that is not named, no stemmer


def test_a_word_of_two_scripts_is_left_alone() -> None:
    assert analyzer("de", "ru").terms("Windowsом") == ["windowsом"]


@given(st.sampled_from(sorted(FORMS)), st.text(min_size=1, max_size=12))
def test_terms_depend_on_the_words_alone(code: str, text: str) -> None:
    terms = analyzer(code).terms
    assert terms(f"{text} {text}") == terms(text) * 2


def test_the_stemmer_of_latin_script_can_be_chosen_alone() -> None:
    chosen = stemmers_of(Bm25Settings(languages=["de", "ru"], stemmer="porter"))
    assert (chosen.latin, chosen.others) == ("porter", {"Cyrillic": "russian"})
    assert stemmers_of(Bm25Settings(languages=["de"], stemmer=None)).latin is None
    assert stemmers_of(Bm25Settings()).fingerprint == {"stemmer": "english"}
    assert stemmers_of(Bm25Settings(languages=["ko", "ja"])).fingerprint == {"stemmer": "none"}


@given(st.sets(st.sampled_from(sorted(STEMMERS))), st.data())
def test_what_is_recorded_comes_back(scripts: set[str], data: st.DataObject) -> None:
    languages = [data.draw(st.sampled_from(sorted(STEMMERS[script]))) for script in sorted(scripts)]
    fingerprint = stemmers_of(Bm25Settings(languages=languages)).fingerprint
    stemmer, found = recorded_stemming(fingerprint)
    assert stemmers_of(Bm25Settings(languages=found, stemmer=stemmer)).fingerprint == fingerprint


@pytest.mark.parametrize(
    ("languages", "says"),
    [
        (["gr"], r"'gr' is not a language that is known here; with a stemmer: ar, .*\bel\b"),
        (["de", "fr"], r"de and fr are both written in Latin script, which has one stemmer"),
    ],
)
def test_languages_that_make_no_sense_are_refused(languages: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=rf"encoder\.bm25\.languages: {says}"):
        Bm25Encoder(Bm25Settings(languages=languages))


@pytest.mark.parametrize(
    ("codes", "found"),
    [
        ("de", ["de"]),
        ("es", ["es"]),
        ("fi", ["fi"]),
        ("fr", ["fr"]),
        ("en", ["en"]),
        ("ru", ["en", "ru"]),  # no text in Latin script: words in it are most often English
        ("ar", ["ar", "en"]),
        ("el", ["el", "en"]),
        ("ko", ["en"]),
        ("ja", ["en"]),
        ("vi", []),  # in Latin script, and Snowball has no stemmer
        ("uk", ["en"]),
        ("de de en", ["de"]),
        ("de en en", ["en"]),
        ("ko ko de ru", ["de", "ru"]),
        ("", ["en"]),
    ],
)
def test_the_languages_of_a_collection_are_found(codes: str, found: list[str]) -> None:
    assert languages_of(TEXTS[code] for code in codes.split()) == found


def test_words_in_texts_of_another_script_have_no_say() -> None:
    assert languages_of([f"{TEXTS['ko'] * 3} Haus, Straße, Fluss und Ufer"] * 5) == ["en"]
    assert languages_of([TEXTS["ko"]] * 99 + [TEXTS["de"]]) == ["en"]  # one text in a hundred


@given(st.lists(st.text(max_size=80), max_size=4))
def test_any_texts_have_languages_with_stemmers(texts: list[str]) -> None:
    stemmers_of(Bm25Settings(languages=languages_of(texts)))


def test_nobody_else_loads_the_detector() -> None:
    root = Path(__file__).parents[2] / "pipeline"
    users = [
        path.name for path in root.rglob("*.py") if re.search(r"bm25\.detection import", path.read_text("utf-8"))
    ]
    assert users == ["open_settings.py"]
