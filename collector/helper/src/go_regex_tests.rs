use super::*;

/// Checks whether an expression finds something in texts.
fn check(pattern: &str, found: &[&str], not_found: &[&str]) {
    let regex = go_regex(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    for text in found {
        assert!(regex.is_match(text), "{pattern} finds nothing in {text:?}: {regex}");
    }
    for text in not_found {
        assert!(!regex.is_match(text), "{pattern} finds something in {text:?}: {regex}");
    }
}

#[test]
fn gos_syntax_means_what_it_means_in_go() {
    check(r"^\Qa.b*\E+$", &["a.b*", "a.b***"], &["aab", "a.b"]);
    check(r"^\Q(", &["(x"], &["x"]);
    check(r"x\Q\E+$", &["xx"], &["y"]);
    check(r"\Aab\z", &["ab"], &["ab\n", "xab"]);
    check(r"^\d\s\w$", &["1 a", "1\ta"], &["١ a", "1\u{b}a", "1 é", "1\u{a0}a"]);
    check(r"^\D\S\W$", &["éé\u{e9}", "a\u{b}-"], &["1a-", "a -", "aaa"]);
    check(r"\bcat\b", &["a cat.", "écaté"], &["concat"]);
    check(r"^\pN\PN$", &["1a", "¼a"], &["a1"]);
    check(r"^\p{Greek}\P{Greek}\p{^Greek}$", &["αaa"], &["aaa", "ααa"]);
    check(r"^\p{Lu}\pL[\p{Nd}\PL]$", &["ÀÉ1", "Aa-"], &["aa1", "Aaa"]);
    check(r"^\p{Any}\p{C}$", &["x\u{1}"], &["xx"]);
    check(r"^(?U)a+(?-U)b", &["ab", "aab"], &["b"]);
    check(r"^(?i)STRASSE|x(?-i)Y$", &["strasse", "xY", "XY"], &["xy"]);
    check(r"^(?i:a)B$", &["AB", "aB"], &["ab"]);
    check(r"^(?is-m:a.)$", &["A\n"], &["A"]);
    check(r"^(?ii)a(?)(?:b)$", &["AB"], &["c"]);
    check(r"^(?P<n>a)(?<m>b)$", &["ab"], &["a"]);
    check(r"^\101\x41\x{1F600}\0\012$", &["AA\u{1F600}\0\n"], &["AA"]);
    check(r"^[[:alpha:]_[:^ascii:]]$", &["a", "_", "é"], &["1", ":"]);
    check(r"^[]a-]$", &["]", "a", "-"], &["b"]);
    check(r"^[^]a]$", &["b", "\n"], &["]", "a"]);
    check(r"^[a[b&&~~]$", &["a", "[", "b", "&", "~"], &["c", "]"]);
    check(r"^[a-c\d\-\]]$", &["b", "5", "-", "]"], &["d", "\\"]);
    check(r"^[\x41-\x{43}]$", &["B"], &["D"]);
    check(r"^a{2}b{0,1}c{1,}?$", &["aabc", "aacc"], &["abc", "aabbc"]);
    check(r"^a{,2}{x}b{01}}$", &["a{,2}{x}b{01}}"], &["aa"]);
    check(r"^a{$", &["a{"], &["a"]);
    check(r"^a||b()$", &["a", "", "b"], &[]);
    check(r"\-\#\ \_\/\@\!", &["-# _/@!"], &[]);
    check(r"a\x{D800}|[\x{D800}]|[a-\x{D800}]", &["b"], &["é\u{FFFF}".get(2..).unwrap_or_default(), "A"]);
    check(r"(a{10}){100}", &[], &["a"]);
}

#[test]
fn what_re2_refuses_is_refused_with_gos_words() {
    let check = |pattern: &str, expected: &str| {
        let error = go_regex(pattern).map(|regex| regex.to_string()).unwrap_err().to_string();
        assert_eq!(error, format!("error parsing regexp: {expected}"), "{pattern}");
    };
    check(r"(a)\1", r"invalid escape sequence: `\1`");
    check(r"\8", r"invalid escape sequence: `\8`");
    check(r"\Z", r"invalid escape sequence: `\Z`");
    check(r"\C", r"invalid escape sequence: `\C`");
    check(r"\E", r"invalid escape sequence: `\E`");
    check(r"\é", r"invalid escape sequence: `\é`");
    check(r"\x{110000}", r"invalid escape sequence: `\x{110000`");
    check(r"[\b]", r"invalid escape sequence: `\b`");
    check(r"a(?=b)", "invalid or unsupported Perl syntax: `(?=`");
    check(r"a(?!b)", "invalid or unsupported Perl syntax: `(?!`");
    check(r"(?<=a)b", "invalid named capture: `(?<=a)b`");
    check(r"(?<!a>)b", "invalid named capture: `(?<!a>`");
    check(r"(?>a)", "invalid or unsupported Perl syntax: `(?>`");
    check(r"(?P=n)", "invalid or unsupported Perl syntax: `(?P`");
    check(r"(?x)a b", "invalid or unsupported Perl syntax: `(?x`");
    check(r"(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`");
    check(r"(?P<n.m>a)", "invalid named capture: `(?P<n.m>`");
    check(r"a**", "invalid nested repetition operator: `**`");
    check(r"a++?", "invalid nested repetition operator: `++?`");
    check(r"a{2}{3}", "invalid nested repetition operator: `{2}{3}`");
    check(r"*a", "missing argument to repetition operator: `*`");
    check(r"(+a)", "missing argument to repetition operator: `+`");
    check(r"a|?", "missing argument to repetition operator: `?`");
    check(r"a{1001}", "invalid repeat count: `{1001}`");
    check(r"a{2,1}", "invalid repeat count: `{2,1}`");
    check(r"(a{100}){11}", "invalid repeat count: `{11}`");
    check(r"a{99999999999}", "invalid repeat count: `{99999999999}`");
    check(r"(a", "missing closing ): `(a`");
    check(r"a)", "unexpected ): `a)`");
    check(r"x[a", "missing closing ]: `[a`");
    check(r"[b-a]", "invalid character class range: `b-a`");
    check(r"[[:foo:]]", "invalid character class range: `[:foo:]`");
    check(r"\p{Foo}", r"invalid character class range: `\p{Foo}`");
    check(r"\p{ascii}", r"invalid character class range: `\p{ascii}`");
    check(r"a\", "trailing backslash at end of expression: ``");
}

#[test]
fn a_large_expression_is_refused_and_not_compiled() {
    let error = go_regex(&r"\pL{1000}".repeat(20)).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "error parsing regexp: expression too large");
}
