//! `env`: attributes that users put into a variable.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use pdata::Value;
use regex::Regex;

use crate::detector::{Detector, Findings};
use crate::error::Error;
use crate::sources::Sources;

/// Where the attributes are, and where they were before the variable got its final name.
const VARIABLES: [&str; 2] = ["OTEL_RESOURCE_ATTRIBUTES", "OTEL_RESOURCE"];

/// One pair, as upstream reads it.
static PAIR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let space = r"[\t\n\x0c\r ]*";
    Regex::new(&format!("{space}([[:ascii:]]{{1,256}}?){space}={space}([[:ascii:]]{{0,256}}?){space}(?:,|$)"))
        .ok()
});

/// The detector.
pub(crate) struct Env {
    pub(crate) sources: Arc<dyn Sources>,
}

#[async_trait]
impl Detector for Env {
    async fn detect(&self, found: &mut Findings) -> Result<(), Error> {
        let said = VARIABLES.iter().find_map(|name| {
            let text = self.sources.variable(name)?;
            Some((*name, text.trim().to_owned())).filter(|(_, text)| !text.is_empty())
        });
        let Some((name, text)) = said else { return Ok(()) };
        let failed = |reason: String| Error::Setting(format!("the variable {name} is not valid: {reason}"));
        let (kept, skipped) = without_foreign_pairs(&text);
        found.attributes = parse(&kept).map_err(failed)?;
        found.gap = (!skipped.is_empty()).then(|| {
            failed(format!("only ASCII may be used, other characters as %XX; without {}", skipped.join(", ")))
        });
        Ok(())
    }
}

/// The text without the pairs that are not ASCII, and the keys of those.
fn without_foreign_pairs(text: &str) -> (String, Vec<String>) {
    let (kept, skipped): (Vec<&str>, Vec<&str>) = text.split(',').partition(|pair| pair.is_ascii());
    let key = |pair: &str| pair.split('=').next().unwrap_or_default().trim().to_owned();
    (kept.join(","), skipped.into_iter().map(key).collect())
}

/// The pairs of a text, or what is wrong with it.
fn parse(text: &str) -> Result<Vec<(String, Value)>, String> {
    let mut pairs: Vec<(String, Value)> = Vec::new();
    let mut end = 0;
    let Some(pattern) = &*PAIR else { return Ok(pairs) };
    while end < text.len() {
        let rest = text.get(end..).unwrap_or_default();
        let found =
            pattern.captures(rest).and_then(|found| Some((found.get(0)?, found.get(1)?, found.get(2)?)));
        let Some((all, key, value)) = found.filter(|(all, ..)| all.start() == 0) else {
            return Err(format!("{:?} is not a list of key=value", rest.trim()));
        };
        let key = key.as_str();
        let value =
            unescape(value.as_str()).ok_or_else(|| format!("the value of {key:?} has a bad escape"))?;
        pairs.retain(|(other, _)| other != key);
        pairs.push((key.to_owned(), Value::String(value)));
        end += all.end();
    }
    Ok(pairs)
}

/// Takes the escapes of a URL's query out of a value; nothing if there is a bad one.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Detect as _, Fake, shown};

    async fn check(variables: &[(&str, &str)], expected: Result<&[&str], &str>) {
        let sources =
            variables.iter().fold(Fake::default(), |fake, (name, value)| fake.with_variable(name, value));
        let found = Env { sources: Arc::new(sources) }.found().await;
        match expected {
            Ok(expected) => assert_eq!(shown(&found.unwrap()), expected, "{variables:?}"),
            Err(expected) => {
                let error = found.unwrap_err();
                assert!(
                    error.is_permanent() && error.to_string().contains(expected),
                    "{variables:?}: {error}"
                );
            }
        }
    }

    async fn check_text(text: &str, expected: Result<&[&str], &str>) {
        check(&[("OTEL_RESOURCE_ATTRIBUTES", text)], expected).await;
    }

    /// Row V18, and of row V19 the texts that are ASCII.
    #[tokio::test]
    async fn texts() {
        check_text("", Ok(&[])).await;
        check_text("  ", Ok(&[])).await;
        check_text("k=v", Ok(&["k=v"])).await;
        check_text("k=v,", Ok(&["k=v"])).await;
        check_text("k=", Ok(&["k="])).await;
        check_text("k=a,j=b,k=c", Ok(&["j=b", "k=c"])).await;
        check_text("k=a=b", Ok(&["k=a=b"])).await;
        check_text("k=a+b%2Cc%3d", Ok(&["k=a b,c="])).await;
        check_text(
            r#" example.org/test-1 =  test $ %3A \" ,  Abc=Def  "#,
            Ok(&[r#"example.org/test-1=test $ : \""#, "Abc=Def"]),
        )
        .await;
        check_text("extra=chars, a", Err("\"a\" is not a list of key=value")).await;
        check_text("x=url-%3-y", Err("bad escape")).await;
        check_text("x=%", Err("bad escape")).await;
        check_text("novalue", Err("is not a list")).await;
        check_text("=v", Err("is not a list")).await;
        check_text(&format!("{}=v", "k".repeat(257)), Err("is not a list")).await;
        check_text(&format!("k={}", "v".repeat(257)), Err("is not a list")).await;
    }

    #[tokio::test]
    async fn the_old_variable_counts_where_the_new_one_says_nothing() {
        check(&[("OTEL_RESOURCE", "k=old")], Ok(&["k=old"])).await;
        check(&[("OTEL_RESOURCE_ATTRIBUTES", " "), ("OTEL_RESOURCE", "k=old")], Ok(&["k=old"])).await;
        check(&[("OTEL_RESOURCE_ATTRIBUTES", "k=new"), ("OTEL_RESOURCE", "k=old")], Ok(&["k=new"])).await;
    }

    /// Row E77, and the rest of row V19: there upstream gives up.
    #[tokio::test]
    async fn attributes_with_non_ascii() {
        let fake = Fake::default().with_variable("OTEL_RESOURCE_ATTRIBUTES", "k=v,übetween=w,j=ä,l=m");
        let found = Env { sources: Arc::new(fake) }.found().await.unwrap();
        assert_eq!(shown(&found), ["k=v", "l=m"]);
        let gap = found.gap.unwrap();
        assert!(gap.is_permanent());
        assert!(gap.to_string().ends_with("without übetween, j"), "{gap}");
    }
}
