"""Names of the functions and types that a condition may use; docs/filters.md lists the same.

A function is here if people ask for it on metadata and its result is not much larger than its arguments. Neither
`repeat`, `lpad`, `range` and the like are, nor any that waits, or reads what is not in the chunk.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATORS = _names(
    """
    + - * / // % ^ ** & | ~ << >> @ || && @> <@ ^@ ->> ~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape
    ilike_escape not_ilike_escape
    """
)
NUMBERS = _names(
    """
    abs acos asin atan atan2 bit_count cbrt ceil ceiling cos cot degrees even exp fdiv floor gcd
    greatest_common_divisor isfinite isinf isnan lcm least_common_multiple ln log log10 log2 mod pi pow
    power radians round round_even sign signbit sin sqrt tan trunc xor
    """
)
TEXTS = _names(
    """
    ascii char_length character_length chr concat contains ends_with format_bytes hash instr lcase left
    left_grapheme len length length_grapheme lower ltrim md5 nfc_normalize ord position prefix replace
    reverse right right_grapheme rtrim split split_part starts_with str_split string_split string_to_array
    strip_accents strlen strpos substr substring substring_grapheme suffix translate trim ucase unicode
    upper
    """
)
EXPRESSIONS = _names(
    """
    regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace regexp_split_to_array
    str_split_regex string_split_regex
    """
)
LISTS = _names(
    """
    apply array_append array_apply array_cat array_concat array_contains array_distinct array_extract
    array_filter array_has array_has_all array_has_any array_indexof array_intersect array_length
    array_position array_prepend array_reverse array_reverse_sort array_slice array_sort array_transform
    array_unique filter list_any_value list_append list_apply list_avg list_bool_and list_bool_or list_cat
    list_concat list_contains list_count list_distinct list_element list_extract list_filter list_first
    list_has list_has_all list_has_any list_indexof list_intersect list_last list_max list_min list_pack
    list_position list_prepend list_reverse list_reverse_sort list_slice list_sort list_sum list_transform
    list_unique list_value
    """
)
RECORDS = _names(
    """
    cardinality element_at map map_contains map_extract map_extract_value map_keys map_values row
    struct_contains struct_extract struct_extract_at struct_has struct_pack
    """
)
DATES = _names(
    """
    age century current_date current_localtime current_localtimestamp date_add date_diff date_part date_sub
    date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month
    decade epoch epoch_ms epoch_ns epoch_us era get_current_time get_current_timestamp hour isodow isoyear
    julian last_day make_date make_time make_timestamp microsecond millennium millisecond minute month
    monthname nanosecond now quarter second strftime strptime time_bucket timezone to_centuries to_days
    to_decades to_hours to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters
    to_seconds to_timestamp to_weeks to_years today transaction_timestamp try_strptime week weekday
    weekofyear year yearweek
    """
)
CLOCKS = _names(
    """
    age current_date current_localtime current_localtimestamp current_time current_timestamp get_current_time
    get_current_timestamp localtime localtimestamp now today transaction_timestamp
    """
)
JSON = _names(
    """
    json_array_length json_contains json_exists json_extract json_extract_path json_extract_path_text
    json_extract_string json_keys json_type json_valid json_value
    """
)
CHOICES = _names(
    """
    greatest if least nullif typeof
    """
)
FUNCTIONS = OPERATORS | NUMBERS | TEXTS | EXPRESSIONS | LISTS | RECORDS | DATES | JSON | CHOICES
TYPES = _names(
    """
    boolean bool logical tinyint smallint integer bigint hugeint utinyint usmallint uinteger ubigint
    uhugeint int1 int2 int4 int8 int16 int32 int64 int128 int integral short long signed oid float real
    float4 float8 double decimal numeric dec varchar char bpchar text string nvarchar date time timetz
    timestamp timestamptz datetime timestamp_s timestamp_ms timestamp_ns timestamp_us interval uuid guid
    json list
    """
)
TYPES |= {"double precision", "time with time zone", "timestamp with time zone"}
TEXT_TYPES = _names(
    """
    varchar char bpchar text string nvarchar json
    """
)
MAKING = _names(
    """
    list_value list_pack struct_pack row map
    """
)
JOINING = _names(
    """
    || concat list_concat list_cat array_concat array_cat list_append array_append list_prepend
    array_prepend
    """
)
JOINING |= MAKING
SPLITTING = _names(
    """
    regexp_extract_all regexp_split_to_array split split_part str_split str_split_regex string_split
    string_split_regex string_to_array
    """
)
REPEATING = MAKING | SPLITTING | {"nullif", "regexp_replace"}
PATHS = (JSON - {"json_contains"}) | {"->>"}
CLASSES = _names(
    """
    BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA OPERATOR SUBQUERY
    TYPE
    """
)
