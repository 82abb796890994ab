//! Namespaces, and log group and stream names with placeholders.

/// Stands in a name where a placeholder found nothing.
pub(crate) const UNDEFINED: &str = "undefined";

/// The namespace of data that says nothing about its service.
const DEFAULT_NAMESPACE: &str = "default";

/// The placeholders, and the attribute of the semantic conventions that each one also means.
const PLACEHOLDERS: [(&str, &str); 8] = [
    ("ClusterName", "aws.ecs.cluster.name"),
    ("TaskId", "aws.ecs.task.id"),
    ("NodeName", "k8s.node.name"),
    ("PodName", "pod"),
    ("ServiceName", "service.name"),
    ("ContainerInstanceId", "aws.ecs.container.instance.id"),
    ("TaskDefinitionFamily", "aws.ecs.task.family"),
    ("JobName", "job"),
];

/// A name with placeholders, taken apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Literal(String),
    Placeholder { name: &'static str, attribute: &'static str },
}

impl Pattern {
    /// Unknown placeholders stay in the name as they are.
    pub(crate) fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let known = PLACEHOLDERS.iter().find_map(|&(name, attribute)| {
                let behind = rest.strip_prefix('{')?.strip_prefix(name)?.strip_prefix('}')?;
                Some((name, attribute, behind))
            });
            if let Some((name, attribute, behind)) = known {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Placeholder { name, attribute });
                rest = behind;
            } else {
                literal.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Self { pieces }
    }

    /// Whether nothing was configured.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Appends the name. `write` appends the value of an attribute and says whether there is one and whether it has
    /// text. `false` when a placeholder found nothing.
    pub(crate) fn write(&self, out: &mut String, mut write: impl FnMut(&mut String, &str) -> bool) -> bool {
        let mut complete = true;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Placeholder { name, attribute } => {
                    let start = out.len();
                    // The placeholder's own name goes first, and decides even where its value is empty.
                    let found = write(out, name) || write(out, attribute);
                    if !found || out.len() == start {
                        out.push_str(UNDEFINED);
                        complete = false;
                    }
                }
            }
        }
        complete
    }
}

/// Appends the namespace that follows from `service.namespace` and `service.name`.
pub(crate) fn write_service_namespace(out: &mut String, namespace: Option<&str>, name: Option<&str>) {
    let start = out.len();
    out.push_str(namespace.unwrap_or_default());
    if namespace.is_some() && name.is_some() {
        out.push('/');
    }
    out.push_str(name.unwrap_or_default());
    if out.len() == start {
        out.push_str(DEFAULT_NAMESPACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        let check = |pattern: &str, attributes: &[(&str, &str)], expected: (&str, bool)| {
            let mut out = String::new();
            let complete = Pattern::parse(pattern).write(&mut out, |out, key| {
                let found = attributes.iter().find(|(name, _)| *name == key);
                found.iter().for_each(|(_, value)| out.push_str(value));
                found.is_some()
            });
            assert_eq!((out.as_str(), complete), expected, "{pattern}");
        };
        let attributes = [
            ("ClusterName", "c"),
            ("k8s.node.name", "n"),
            ("TaskId", ""),
            ("aws.ecs.task.id", "t"),
            ("job", "j"),
        ];
        check("", &attributes, ("", true));
        check("/a/{ClusterName}/b", &attributes, ("/a/c/b", true));
        check("{NodeName}{NodeName}-{JobName}", &attributes, ("nn-j", true));
        check("{TaskId}", &attributes, ("undefined", false));
        check("{PodName}-{ClusterName}", &attributes, ("undefined-c", false));
        check("{Unknown}{ {ClusterName", &attributes, ("{Unknown}{ {ClusterName", true));
        check("{é}", &attributes, ("{é}", true));
    }

    #[test]
    fn namespaces() {
        let check = |namespace: Option<&str>, name: Option<&str>, expected: &str| {
            let mut out = String::from("x");
            write_service_namespace(&mut out, namespace, name);
            assert_eq!(out, format!("x{expected}"));
        };
        check(None, None, "default");
        check(Some("ns"), Some("svc"), "ns/svc");
        check(Some("ns"), None, "ns");
        check(None, Some("svc"), "svc");
        check(None, Some(""), "default");
        check(Some(""), Some(""), "/");
    }
}
