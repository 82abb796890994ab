//! Where a body in embedded metric format wants to go.

use std::borrow::Cow;

use helper::json::Reader;

/// The names that a body gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Destination<'a> {
    /// The log group.
    pub(crate) group: Cow<'a, str>,
    /// The log stream; empty if not said.
    pub(crate) stream: Cow<'a, str>,
}

/// The log group, and perhaps stream, that a body names: in `_aws`, or else at the top, as older versions of the format
/// have it. `None` if the text names no group, is not a JSON object, or has a name that is not text.
pub(crate) fn destination(text: &str) -> Option<Destination<'_>> {
    let mut reader = Reader::new(text);
    let (mut aws, mut top) = (Destination::default(), Destination::default());
    reader.members(|reader, key| {
        if !is_name(&key, "_aws") {
            return top.member(reader, &key, ["log_group_name", "log_stream_name"]);
        }
        if reader.peek()? == b'n' {
            aws = Destination::default();
            return reader.null();
        }
        reader.members(|reader, key| aws.member(reader, &key, ["loggroupname", "logstreamname"]))
    })?;
    reader.end()?;
    [aws, top].into_iter().find(|destination| !destination.group.is_empty())
}

impl<'a> Destination<'a> {
    /// Reads the value of a member of the object that holds the names.
    fn member(&mut self, reader: &mut Reader<'a>, key: &str, [group, stream]: [&str; 2]) -> Option<()> {
        let name = match key {
            key if is_name(key, group) => &mut self.group,
            key if is_name(key, stream) => &mut self.stream,
            _ => return reader.skip(),
        };
        if reader.peek()? == b'n' {
            // Go's decoder lets the field be.
            return reader.null();
        }
        *name = reader.string()?;
        Some(())
    }
}

/// Whether a key stands for a field, given in lower case: letters of either case are equal, as Go's decoder has it. That
/// is Unicode's simple folding, under which one more letter counts as an s.
fn is_name(key: &str, name: &str) -> bool {
    let fold = |c: char| if c == 'ſ' { 's' } else { c.to_ascii_lowercase() };
    key.chars().map(fold).eq(name.chars())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn names_in_bodies() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let found = destination(text);
            let found = found.as_ref().map(|found| (found.group.as_ref(), found.stream.as_ref()));
            assert_eq!(found, expected, "{text}");
        };
        check(r#"{"_aws":{"logGroupName":"g","logStreamName":"s"}}"#, Some(("g", "s")));
        check(r#" {"a":[1,{}],"_aws":{"Timestamp":1,"LogGroupName":"g"},"m":2.5} "#, Some(("g", "")));
        check(r#"{"_AWS":{"LOGGROUPNAME":"g"}}"#, Some(("g", "")));
        check(r#"{"_awſ":{"logGroupName":"g"}}"#, Some(("g", "")));
        check(r#"{"log_group_name":"g","Log_Stream_Name":"s"}"#, Some(("g", "s")));
        check(r#"{"log_group_name":"t","_aws":{"logGroupName":"g"},"log_stream_name":"x"}"#, Some(("g", "")));
        check(r#"{"log_group_name":"t","_aws":{"logStreamName":"s"}}"#, Some(("t", "")));
        check(r#"{"_aws":{"logGroupName":"","logStreamName":"s"},"log_group_name":"t"}"#, Some(("t", "")));
        // Escapes, in keys also.
        check(r#"{"_aws":{"logGroup\u004eame":"a\u00e9\/\n"}}"#, Some(("aé/\n", "")));
        check(r#"{"_aws":{"logGroupName":"\ud800x"}}"#, Some(("\u{fffd}x", "")));
        // The last one counts, null counts for nothing but an object.
        check(r#"{"_aws":{"logGroupName":"a","logGroupName":"b","LogGroupName":null}}"#, Some(("b", "")));
        check(r#"{"_aws":{"logGroupName":"a"},"_aws":{"logStreamName":"s"}}"#, Some(("a", "s")));
        check(r#"{"_aws":{"logGroupName":"a"},"_aws":null}"#, None);
        // No placeholders in here.
        check(r#"{"_aws":{"logGroupName":"{ClusterName}"}}"#, Some(("{ClusterName}", "")));
        for text in [
            "",
            "plain text",
            "{}",
            "null",
            "[]",
            "\"_aws\"",
            r#"{"_aws":{"logStreamName":"s"}}"#,
            r#"{"log_stream_name":"s"}"#,
            r#"{"logGroupName":"g"}"#,
            r#"{"x":{"_aws":{"logGroupName":"g"}}}"#,
            r#"{"_aws":{"log_group_name":"g"}}"#,
            // Wrong types, wherever the other names are.
            r#"{"_aws":{"logGroupName":1}}"#,
            r#"{"_aws":{"logGroupName":"g","logStreamName":[]}}"#,
            r#"{"_aws":{"logGroupName":"g"},"log_group_name":5}"#,
            r#"{"_aws":"x","log_group_name":"g"}"#,
            r#"{"_aws":[],"log_group_name":"g"}"#,
            // Not JSON to the end.
            r#"{"_aws":{"logGroupName":"g"}} x"#,
            r#"{"_aws":{"logGroupName":"g"}}{"#,
            r#"{"_aws":{"logGroupName":"g"}"#,
            r#"{"_aws":{"logGroupName":"g"},}"#,
            r#"{"_aws":{"logGroupName":"g"},"a":01}"#,
        ] {
            check(text, None);
        }
        check(&format!("{{\"a\":{}", "[".repeat(1 << 20)), None);
    }

    /// What the rules say of a tree.
    fn expected(value: &Value) -> Option<(String, String)> {
        let text = |value: Option<&Value>| match value {
            None | Some(Value::Null) => Some(String::new()),
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => None,
        };
        let top = value.as_object()?;
        let names = |map: &serde_json::Map<String, Value>, [group, stream]: [&str; 2]| {
            Some((text(map.get(group))?, text(map.get(stream))?))
        };
        let own = names(top, ["log_group_name", "log_stream_name"])?;
        let aws = match top.get("_aws") {
            None | Some(Value::Null) => Default::default(),
            Some(aws) => names(aws.as_object()?, ["logGroupName", "logStreamName"])?,
        };
        [aws, own].into_iter().find(|(group, _)| !group.is_empty())
    }

    fn any_body() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            ".{0,3}".prop_map(Value::from),
            "[gs]".prop_map(Value::from),
        ];
        let key = prop::sample::select(vec![
            "_aws",
            "logGroupName",
            "logStreamName",
            "log_group_name",
            "log_stream_name",
            "x",
            "\"\\\n",
        ]);
        leaf.prop_recursive(3, 12, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn bodies_are_read_as_the_rules_say(body in any_body(), pretty in any::<bool>()) {
            let text = if pretty { format!("{body:#}") } else { body.to_string() };
            let found = destination(&text).map(|found| (found.group.into_owned(), found.stream.into_owned()));
            prop_assert_eq!(found, expected(&body));
        }

        #[test]
        fn any_text_is_survived(text in "[\\[\\]{}\",:0-9a-u\\\\ .eE+-]{0,32}") {
            destination(&text);
        }
    }

    #[test]
    fn a_large_body_is_read_in_place() {
        let body = json!({"a": "x".repeat(1 << 20), "_aws": {"logGroupName": "g"}}).to_string();
        let found = destination(&body).unwrap();
        assert!(matches!(found.group, Cow::Borrowed("g")));
    }
}
