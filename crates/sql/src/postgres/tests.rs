//! Tests of the lists: they are sorted as they are searched, and read as they are written.

use super::{
    Category, FUNCTIONS, KEYWORDS, OPERATORS, RELATIONS, TYPES, has_function, has_operator,
    has_type, keyword, quoted, system_relation, type_of,
};

#[test]
fn lists_are_sorted_by_their_first_words() {
    for list in [&KEYWORDS, &FUNCTIONS, &TYPES, &OPERATORS, &RELATIONS] {
        let names: Vec<&str> =
            list.0.iter().map(|line| line.split(' ').next().expect("a first word")).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(names, sorted);
        assert!(names.iter().all(|name| list.find(name).is_some()));
    }
}

#[test]
fn keywords_know_where_they_are_names() {
    let category = |word| keyword(word).map(|keyword| keyword.category);
    assert_eq!(category("select"), Some(Category::Reserved));
    assert_eq!(category("left"), Some(Category::TypeOrFunction));
    assert_eq!(category("between"), Some(Category::ColumnName));
    assert_eq!(category("begin"), Some(Category::Unreserved));
    assert_eq!(category("qualify"), None);
    assert!(!keyword("isnull").expect("a keyword").bare_label);
    assert!(keyword("select").expect("a keyword").bare_label);
}

#[test]
fn names_are_quoted_where_a_statement_must() {
    let names = ["plain_1", "begin", "select", "left", "Co l", "1a", "a\"b", "\u{e4}"];
    let expected = [
        "plain_1",
        "begin",
        "\"select\"",
        "\"left\"",
        "\"Co l\"",
        "\"1a\"",
        "\"a\"\"b\"",
        "\"\u{e4}\"",
    ];
    assert_eq!(names.map(quoted), expected);
}

#[test]
fn functions_are_told_by_name_and_number_of_arguments() {
    assert!(has_function("format", 1) && has_function("format", 9));
    assert!(has_function("regexp_matches", 2) && has_function("regexp_matches", 3));
    assert!(!has_function("regexp_matches", 1) && !has_function("formatt", 1));
}

#[test]
fn types_operators_and_relations_are_told_by_name() {
    assert!(has_type("money") && has_type("pg_catalog.inet") && has_type("jsonb[]"));
    assert!(!has_type("hstore"));
    assert_eq!(type_of(1083).as_deref(), Some("time"));
    assert_eq!(type_of(3807).as_deref(), Some("jsonb[]"));
    assert_eq!((type_of(0), type_of(99_999)), (None, None));
    assert!(has_operator("@>") && !has_operator("%%%"));
    assert_eq!(system_relation(None, "pg_type").as_deref(), Some("pg_catalog.pg_type"));
    let tables = system_relation(Some("information_schema"), "tables");
    assert_eq!(tables.as_deref(), Some("information_schema.tables"));
    assert_eq!(system_relation(None, "tables"), None);
}
