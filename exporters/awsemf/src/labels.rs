//! The labels of data points: their fields and candidates for dimensions.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use pdata::{AnyValueView, KeyValueView};

use crate::json;
use crate::text::{Span, Text, recycle, same};

/// The label of the instrumentation scope's name.
pub(crate) const SCOPE_LABEL: &str = "OTelLib";
/// The label that sets the storage resolution of a group; never a field.
pub(crate) const STORAGE_RESOLUTION: &str = "aws.emf.storage_resolution";
/// The field of the Kubernetes object.
const KUBERNETES: &str = "kubernetes";

/// A label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: Text<'a>,
}

/// The labels of a point: a part of [`Labels`], sorted by name, without repeats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabelSet {
    pub(crate) span: Span,
    pub(crate) hash: u64,
}

/// All label sets of a batch, and the texts made for them.
#[derive(Debug, Default)]
pub(crate) struct Labels<'a> {
    list: Vec<Label<'a>>,
    /// Texts that are not in the batch.
    pub(crate) arena: String,
    hasher: RandomState,
}

/// Labels and bytes of text that the table holds before the events made of them have to be written.
const MAX_LABELS: usize = 128 << 10;
const MAX_ARENA: usize = 4 << 20;

/// A state of the table to which it can be cut back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LabelMark {
    labels: usize,
    arena: usize,
}

impl<'a> Labels<'a> {
    /// Empties the table and keeps its memory, unless one large point made it grow, for a batch of another lifetime.
    pub(crate) fn recycled<'b>(mut self) -> Labels<'b> {
        if self.list.capacity() > 2 * MAX_LABELS || self.arena.capacity() > 2 * MAX_ARENA {
            return Labels { hasher: self.hasher, ..Labels::default() };
        }
        self.arena.clear();
        Labels { list: recycle(self.list), arena: self.arena, hasher: self.hasher }
    }

    /// Builds a set from attributes, then `over`, then the scope's name, later ones winning.
    pub(crate) fn collect(
        &mut self,
        attributes: impl Iterator<Item = KeyValueView<'a>>,
        over: Span,
        scope: &'a str,
        kubernetes: bool,
    ) -> LabelSet {
        let start = self.list.len();
        for pair in attributes {
            self.push(pair);
        }
        self.list.extend_from_within(over.start..over.end);
        if !scope.is_empty() {
            self.list.push(Label { name: SCOPE_LABEL, text: Text::Borrowed(scope) });
        }
        self.finish(start);
        if kubernetes {
            self.add_kubernetes(start);
        }
        self.set(start)
    }

    /// Adds an attribute to the end of the list.
    pub(crate) fn push(&mut self, pair: KeyValueView<'a>) {
        let text = self.text_of(pair.value);
        self.list.push(Label { name: pair.key, text });
    }

    /// Returns true if the table holds as much as it should.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() > MAX_LABELS || self.arena.len() > MAX_ARENA
    }

    /// The present state.
    pub(crate) fn mark(&self) -> LabelMark {
        LabelMark { labels: self.list.len(), arena: self.arena.len() }
    }

    /// Forgets all that was added since `mark`.
    pub(crate) fn cut_back(&mut self, mark: LabelMark) {
        self.list.truncate(mark.labels);
        self.arena.truncate(mark.arena);
    }

    /// Bytes of the names and texts of a set.
    pub(crate) fn bytes(&self, span: Span) -> usize {
        self.of(span).iter().map(|label| label.name.len() + label.text.len()).sum()
    }

    /// How many labels there are in all sets.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Forgets a set that nobody refers to, if it is the last one.
    pub(crate) fn release(&mut self, span: Span) {
        if span.end == self.list.len() {
            self.list.truncate(span.start);
        }
    }

    /// Adds a label to a copy of a set.
    pub(crate) fn with(&mut self, set: LabelSet, name: &'a str, text: Text<'a>) -> LabelSet {
        let start = self.list.len();
        self.list.extend_from_within(set.span.start..set.span.end);
        self.list.push(Label { name, text });
        self.finish(start);
        self.set(start)
    }

    /// Sorts the labels from `start` on; of equal names the last one stays.
    pub(crate) fn finish(&mut self, start: usize) {
        let Some(new) = self.list.get_mut(start..) else { return };
        if new.is_sorted_by(|a, b| a.name < b.name) {
            return;
        }
        new.sort_by(|a, b| a.name.cmp(b.name));
        // Keeps the last of each run by moving it over the run's first.
        let mut kept = start;
        for at in start..self.list.len() {
            let Some(&label) = self.list.get(at) else { break };
            let repeats = kept > start && self.list.get(kept - 1).is_some_and(|last| last.name == label.name);
            kept -= usize::from(repeats);
            if let Some(place) = self.list.get_mut(kept) {
                *place = label;
            }
            kept += 1;
        }
        self.list.truncate(kept);
    }

    fn set(&self, start: usize) -> LabelSet {
        let span = Span { start, end: self.list.len() };
        LabelSet { span, hash: self.hash(span, &self.hasher) }
    }

    /// A hash over names and values.
    pub(crate) fn hash(&self, span: Span, state: &RandomState) -> u64 {
        let mut hasher = state.build_hasher();
        for label in span.of(&self.list) {
            hash_text(&mut hasher, label.name);
            hash_text(&mut hasher, label.text.get(&self.arena));
        }
        hasher.finish()
    }

    /// The labels of a set.
    #[inline]
    pub(crate) fn of(&self, span: Span) -> &[Label<'a>] {
        span.of(&self.list)
    }

    /// Whether two sets are equal.
    pub(crate) fn equal(&self, a: Span, b: Span) -> bool {
        let (left, right) = (self.of(a), self.of(b));
        a == b
            || left.len() == right.len()
                && left.iter().zip(right).all(|(a, b)| {
                    same(a.name, b.name) && same(a.text.get(&self.arena), b.text.get(&self.arena))
                })
    }

    /// The text of a label of a set.
    pub(crate) fn get(&self, span: Span, name: &str) -> Option<Text<'a>> {
        let labels = self.of(span);
        let at = labels.binary_search_by(|label| label.name.cmp(name)).ok()?;
        labels.get(at).map(|label| label.text)
    }

    /// The text of an attribute.
    pub(crate) fn text_of(&mut self, value: AnyValueView<'a>) -> Text<'a> {
        match value {
            AnyValueView::String(text) => Text::Borrowed(text),
            AnyValueView::Empty => Text::Unset,
            AnyValueView::Bool(true) => Text::Borrowed("true"),
            AnyValueView::Bool(false) => Text::Borrowed("false"),
            value => Text::make(&mut self.arena, |arena| write_value(arena, value)),
        }
    }

    /// Adds the `kubernetes` object of a pod's or container's labels to the set that begins at `start` and ends the
    /// list.
    fn add_kubernetes(&mut self, start: usize) {
        let span = Span { start, end: self.list.len() };
        let kind = self.get(span, "Type").map(|text| text.get(&self.arena));
        if !matches!(kind, Some("Pod" | "Container")) {
            return;
        }
        let mut object = String::new();
        write_kubernetes(&mut object, |name| self.get(span, name).map(|text| text.get(&self.arena)));
        let text = Text::make(&mut self.arena, |arena| arena.push_str(&object));
        self.list.push(Label { name: KUBERNETES, text });
        self.finish(start);
    }
}

/// Appends the text of an attribute; nothing for a list or map with a number that JSON cannot express.
pub(crate) fn write_value(out: &mut String, value: AnyValueView<'_>) {
    match value {
        AnyValueView::Empty => {}
        AnyValueView::String(text) => out.push_str(text),
        AnyValueView::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        AnyValueView::Int(value) => json::write_int(out, value),
        AnyValueView::Double(value) => json::write_float_text(out, value),
        AnyValueView::Bytes(_) | AnyValueView::Array(_) | AnyValueView::KeyValues(_) => {
            helper::text::write_value(out, value);
        }
    }
}

/// Hashes a text so that neighbours cannot run into each other.
#[inline]
pub(crate) fn hash_text(hasher: &mut impl Hasher, text: &str) {
    hasher.write(text.as_bytes());
    hasher.write_usize(text.len());
}

/// Members of the `kubernetes` object in order: name, and the label it is made from or the members below it.
const KUBERNETES_MEMBERS: [(&str, Member); 9] = [
    ("container_name", Member::Label("container")),
    ("docker", Member::Object(&[("container_id", "container_id")])),
    ("host", Member::Label("NodeName")),
    ("labels", Member::Object(&[("app", "app"), ("pod-template-hash", "pod-template-hash")])),
    ("namespace_name", Member::Label("Namespace")),
    ("pod_id", Member::Label("PodId")),
    ("pod_name", Member::Label("PodName")),
    ("pod_owners", Member::Object(&[("owner_kind", "owner_kind"), ("owner_name", "owner_name")])),
    ("service_name", Member::Label("Service")),
];

enum Member {
    Label(&'static str),
    Object(&'static [(&'static str, &'static str)]),
}

fn write_kubernetes<'t>(out: &mut String, label: impl Fn(&str) -> Option<&'t str>) {
    fn member(out: &mut String, name: &str) {
        if !out.ends_with('{') {
            out.push(',');
        }
        json::write_string(out, name);
        out.push(':');
    }
    let text = |name: &str| label(name).filter(|text| !text.is_empty());
    out.push('{');
    for (name, content) in KUBERNETES_MEMBERS {
        match content {
            Member::Label(source) => {
                if let Some(text) = text(source) {
                    member(out, name);
                    json::write_string(out, text);
                }
            }
            Member::Object(members) if members.iter().any(|(_, source)| text(source).is_some()) => {
                member(out, name);
                out.push('{');
                for (name, source) in members {
                    if let Some(text) = text(source) {
                        member(out, name);
                        json::write_string(out, text);
                    }
                }
                out.push('}');
            }
            Member::Object(_) => {}
        }
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&'static str, &'static str)]) -> (Labels<'static>, LabelSet) {
        let mut labels = Labels::default();
        labels.list.extend(pairs.iter().map(|&(name, text)| Label { name, text: Text::Borrowed(text) }));
        labels.finish(0);
        let set = labels.set(0);
        (labels, set)
    }

    #[test]
    fn labels_are_sorted_and_the_last_of_equal_names_stays() {
        let check = |pairs: &[(&'static str, &'static str)], expected: &[(&str, &str)]| {
            let (labels, set) = set(pairs);
            let got: Vec<_> =
                labels.of(set.span).iter().map(|label| (label.name, label.text.get(""))).collect();
            assert_eq!(got, expected);
        };
        check(&[], &[]);
        check(&[("a", "1"), ("b", "2")], &[("a", "1"), ("b", "2")]);
        check(&[("b", "2"), ("a", "1")], &[("a", "1"), ("b", "2")]);
        check(&[("b", "1"), ("a", "1"), ("b", "2"), ("b", "3"), ("a", "2")], &[("a", "2"), ("b", "3")]);
        check(&[("b", "1"), ("B", "2")], &[("B", "2"), ("b", "1")]);
    }

    #[test]
    fn the_kubernetes_object_leaves_out_what_is_empty() {
        let check = |pairs: &[(&'static str, &'static str)], expected: &str| {
            let (labels, set) = set(pairs);
            let mut out = String::new();
            write_kubernetes(&mut out, |name| labels.get(set.span, name).map(|text| text.get("")));
            assert_eq!(out, expected);
        };
        check(&[], "{}");
        check(&[("NodeName", "n"), ("PodId", "")], r#"{"host":"n"}"#);
        check(
            &[("container", "c"), ("container_id", "i"), ("app", "a"), ("owner_name", "o"), ("Service", "s")],
            r#"{"container_name":"c","docker":{"container_id":"i"},"labels":{"app":"a"},"pod_owners":{"owner_name":"o"},"service_name":"s"}"#,
        );
    }

    #[test]
    fn only_pods_and_containers_are_wrapped() {
        let check = |kind: &'static str, expected: bool| {
            let (mut labels, _) = set(&[("NodeName", "n"), ("Type", kind)]);
            labels.add_kubernetes(0);
            let span = Span { start: 0, end: labels.len() };
            assert_eq!(labels.get(span, KUBERNETES).is_some(), expected, "{kind}");
        };
        check("Pod", true);
        check("Container", true);
        check("Node", false);
    }
}
