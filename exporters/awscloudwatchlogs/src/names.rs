//! Names of log groups and streams with placeholders.

use helper::text::write_go;
use pdata::KeyValues;

/// Stands in a name where a placeholder found nothing.
const UNDEFINED: &str = "undefined";

/// The placeholders, and the attribute of the semantic conventions that each one also means.
const PLACEHOLDERS: [(&str, &str); 10] = [
    ("ClusterName", "aws.ecs.cluster.name"),
    ("TaskId", "aws.ecs.task.id"),
    ("NodeName", "k8s.node.name"),
    ("PodName", "pod"),
    ("ServiceName", "service.name"),
    ("ContainerInstanceId", "aws.ecs.container.instance.id"),
    ("TaskDefinitionFamily", "aws.ecs.task.family"),
    ("InstanceId", "service.instance.id"),
    ("FaasName", "faas.name"),
    ("FaasVersion", "faas.version"),
];

/// A placeholder that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid pattern between curly brackets: {0}")]
pub(crate) struct UnknownPlaceholder(String);

/// The names of group and stream.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    group: Pattern,
    stream: Pattern,
}

/// A log group and a log stream of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) group: String,
    pub(crate) stream: String,
}

/// A name, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Literal(String),
    Placeholder { name: &'static str, attribute: &'static str },
}

impl Names {
    /// # Errors
    /// A placeholder in one of the names that is unknown.
    pub(crate) fn parse(group: &str, stream: &str) -> Result<Self, UnknownPlaceholder> {
        Ok(Self { group: Pattern::parse(group)?, stream: Pattern::parse(stream)? })
    }

    /// The place of the records of a resource. `false` when a placeholder found nothing in the resource, so that the
    /// attributes of a record can change the place.
    pub(crate) fn of_resource(&self, place: &mut Place, resource: KeyValues<'_>) -> bool {
        let group = self.group.write(&mut place.group, resource, None);
        let stream = self.stream.write(&mut place.stream, resource, None);
        group && stream
    }

    /// The place of a record whose resource leaves it open.
    pub(crate) fn of_record(&self, place: &mut Place, resource: KeyValues<'_>, record: KeyValues<'_>) {
        self.group.write(&mut place.group, resource, Some(record));
        self.stream.write(&mut place.stream, resource, Some(record));
    }
}

impl Pattern {
    /// Takes a name apart. A brace without its partner is a character like others.
    ///
    /// # Errors
    /// The first placeholder that is unknown.
    pub(crate) fn parse(text: &str) -> Result<Self, UnknownPlaceholder> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            literal.push_str(before);
            let Some((name, after)) = behind.split_once('}').filter(|(name, _)| !name.contains('{')) else {
                literal.push('{');
                rest = behind;
                continue;
            };
            let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
            let &(name, attribute) = known.ok_or_else(|| UnknownPlaceholder(name.to_owned()))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Placeholder { name, attribute });
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }

    /// What may stand between braces, for a person.
    pub(crate) fn known() -> String {
        let names: Vec<_> = PLACEHOLDERS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
        format!("the placeholders are {}", names.join(", "))
    }

    /// Writes the name. The placeholder's own name goes first, then the attribute that it means, then its own name among
    /// the attributes of the record; what is found first decides, even if it is empty. `false` when the resource had
    /// nothing for a placeholder.
    fn write(&self, out: &mut String, resource: KeyValues<'_>, record: Option<KeyValues<'_>>) -> bool {
        out.clear();
        let mut complete = true;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Placeholder { name, attribute } => {
                    let start = out.len();
                    if !write_attribute(out, resource, name) && !write_attribute(out, resource, attribute) {
                        complete = false;
                        if let Some(record) = record {
                            write_attribute(out, record, name);
                        }
                    }
                    if out.len() == start {
                        out.push_str(UNDEFINED);
                    }
                }
            }
        }
        complete
    }
}

/// Appends the text of an attribute. Whether there is one.
fn write_attribute(out: &mut String, attributes: KeyValues<'_>, key: &str) -> bool {
    // The last of equal keys counts, as in a Go map.
    let Some(pair) = attributes.filter(|pair| pair.key == key).last() else { return false };
    if !matches!(pair.value, pdata::AnyValueView::Empty) {
        write_go(out, pair.value);
    }
    true
}

#[cfg(test)]
mod tests {
    use pdata::{Batch, Signal};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let check = |text: &str, expected: Result<usize, &str>| {
            let found = Pattern::parse(text).map(|pattern| pattern.pieces.len());
            assert_eq!(found, expected.map_err(|name| UnknownPlaceholder(name.to_owned())), "{text}");
        };
        check("", Ok(0));
        check("plain", Ok(1));
        check("/a/{ClusterName}/b", Ok(3));
        check("{TaskId}{TaskId}", Ok(2));
        check("{", Ok(1));
        check("}{", Ok(1));
        check("{{PodName}}", Ok(3));
        check("{a{PodName}", Ok(2));
        check("{}", Err(""));
        check("{JobName}", Err("JobName"));
        check("{clustername}", Err("clustername"));
        check("{ClusterName}{é}{Nope}", Err("é"));
    }

    fn batch(resource: Value, record: Value) -> Batch {
        let json = json!({"resourceLogs": [{"resource": {"attributes": resource},
            "scopeLogs": [{"logRecords": [{"attributes": record}]}]}]});
        Batch::from_json(Signal::Logs, json.to_string().as_bytes()).unwrap()
    }

    fn text(key: &str, value: &str) -> Value {
        json!({"key": key, "value": {"stringValue": value}})
    }

    fn name(pattern: &str, batch: &Batch) -> (String, bool) {
        let entry = pdata::logs::resources(batch).next().unwrap();
        let resource = entry.resource().attributes();
        let record = entry.scopes().next().unwrap().log_records().next().unwrap().attributes();
        let names = Names::parse(pattern, "").unwrap();
        let mut place = Place::default();
        let complete = names.of_resource(&mut place, resource);
        if !complete {
            names.of_record(&mut place, resource, record);
        }
        (place.group, complete)
    }

    #[test]
    fn placeholders_are_looked_up() {
        let check = |pattern: &str, expected: (&str, bool)| {
            let resource = json!([
                text("ClusterName", "c"),
                text("aws.ecs.cluster.name", "other"),
                text("k8s.node.name", "n"),
                text("TaskId", ""),
                text("aws.ecs.task.id", "t"),
                text("pod", "first"),
                text("pod", "last"),
                text("service.instance.id", "{ClusterName}"),
                {"key": "faas.name", "value": {}},
            ]);
            let record = json!([
                text("ServiceName", "from record"),
                text("NodeName", "x"),
                text("TaskId", "y"),
                text("faas.version", "not by this name"),
                text("FaasVersion", "")
            ]);
            let found = name(pattern, &batch(resource, record));
            assert_eq!((found.0.as_str(), found.1), expected, "{pattern}");
        };
        check("/a/{ClusterName}/b", ("/a/c/b", true));
        check("{NodeName}{NodeName}", ("nn", true));
        check("{TaskId}", ("undefined", true));
        check("{PodName}", ("last", true));
        check("{InstanceId}", ("{ClusterName}", true));
        check("{FaasName}", ("undefined", true));
        check("{ServiceName}-{NodeName}", ("from record-n", false));
        check("{ContainerInstanceId}", ("undefined", false));
        check("{FaasVersion}", ("undefined", false));
        check("{{PodName}", ("{last", true));
    }

    #[test]
    fn values_of_other_types() {
        let check = |value: Value, expected: &str| {
            let resource = json!([{"key": "NodeName", "value": value}]);
            assert_eq!(name("{NodeName}", &batch(resource, json!([]))).0, expected);
        };
        check(json!({"intValue": "12345678"}), "12345678");
        check(json!({"doubleValue": 123_456}), "123456");
        check(json!({"doubleValue": 1_000_000}), "1e+06");
        check(json!({"doubleValue": 0.00001}), "1e-05");
        check(json!({"boolValue": true}), "true");
        check(json!({"bytesValue": "AQID"}), "[1 2 3]");
        check(json!({"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}), "[a b]");
        check(json!({"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}}), "map[a:b]");
    }
}
