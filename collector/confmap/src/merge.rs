//! Merging of sources, and the nested mappings that `a::b` keys stand for.

use crate::node::{Key, Map, Node, NodeKind};
use crate::problems::DELIMITER;

/// Lays `over` on `base`: mappings are merged key by key, everything else, null included, replaces.
pub(crate) fn merge(base: &mut Map, over: Map) {
    merge_by(base, over, &|base, over| *base = over);
}

/// Lays `over` on defaults: like [`merge`], but null keeps a default mapping or list, as decoding into a struct that
/// already has its defaults does.
pub(crate) fn merge_into_defaults(base: &mut Map, over: Map) {
    merge_by(base, over, &|base, over| {
        if !(over.is_null() && matches!(base.kind, NodeKind::Map(_) | NodeKind::Seq(_))) {
            *base = over;
        }
    });
}

fn merge_by(base: &mut Map, over: Map, replace: &dyn Fn(&mut Node, Node)) {
    let mut positions = base.positions();
    for (key, value) in over.into_entries() {
        let found = positions.get(&key.name).and_then(|index| base.entries_mut().get_mut(*index));
        let Some((place, old)) = found else {
            positions.insert(key.name.clone(), base.len());
            base.entries_mut().push((key, value));
            continue;
        };
        *place = key;
        match (&mut old.kind, value) {
            (NodeKind::Map(old), Node { kind: NodeKind::Map(new), .. }) => merge_by(old, new, replace),
            (_, value) => replace(old, value),
        }
    }
}

/// Splits keys that contain `::` into nested mappings. Mappings inside lists are left alone.
pub(crate) fn split_keys(node: &mut Node) {
    let NodeKind::Map(map) = &mut node.kind else { return };
    for (_, value) in map.entries_mut() {
        split_keys(value);
    }
    if !map.iter().any(|(key, _)| key.name.contains(DELIMITER)) {
        return;
    }
    let mut split = Map::default();
    for (key, value) in std::mem::take(map).into_entries() {
        let nested = nest(key, value);
        merge(&mut split, nested);
    }
    *map = split;
}

fn nest(key: Key, value: Node) -> Map {
    let span = key.span;
    let mut value = Some(value);
    let mut nested = Map::default();
    // From the innermost name outwards.
    for name in key.name.rsplit(DELIMITER) {
        let inner = value.take().unwrap_or_else(|| Node {
            kind: NodeKind::Map(std::mem::take(&mut nested)),
            span: span.clone(),
            original: None,
        });
        nested = Map::from_entries(vec![(Key { name: name.to_owned(), span: span.clone() }, inner)]);
    }
    nested
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Node {
        Node::from_yaml("test", text).unwrap()
    }

    fn map(text: &str) -> Map {
        match yaml(text).kind {
            NodeKind::Map(map) => map,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn later_sources_win() {
        for (base, over, expected) in [
            ("a: {b: 1, c: 2}", "a: {b: 3}", "a: {b: 3, c: 2}"),
            ("a: {b: 1}", "a: {d: {e: 1}}", "a: {b: 1, d: {e: 1}}"),
            ("a: [1, 2]", "a: [3]", "a: [3]"),
            ("a: 1", "a: {b: 1}", "a: {b: 1}"),
            ("a: {b: 1}", "a: 1", "a: 1"),
            ("a: {debug: {verbosity: detailed}}", "a: {debug: }", "a: {debug: }"),
            ("a: {b: 1}", "a:", "a:"),
            ("a: {b: 1}", "a: {}", "a: {b: 1}"),
            ("a: {b: 1}", "a::b: 2", "a: {b: 2}"),
        ] {
            let mut merged = map(base);
            merge(&mut merged, map(over));
            assert_eq!(merged, map(expected), "{base} + {over}");
        }
    }

    #[test]
    fn null_keeps_structured_defaults() {
        for (base, over, expected) in [
            ("a: {b: 1}", "a:", "a: {b: 1}"),
            ("a: [1]", "a:", "a: [1]"),
            ("a: 1", "a:", "a:"),
            ("a: [1]", "a: []", "a: []"),
        ] {
            let mut merged = map(base);
            merge_into_defaults(&mut merged, map(over));
            assert_eq!(merged, map(expected), "{base} + {over}");
        }
    }

    #[test]
    fn delimiters_nest() {
        assert_eq!(yaml("a::b::c: 1"), yaml("a: {b: {c: 1}}"));
        assert_eq!(yaml("a::b: 1\na: {c: 2}"), yaml("a: {b: 1, c: 2}"));
        assert_eq!(yaml("x: {a::b: 1}"), yaml("x: {a: {b: 1}}"));
        let listed = yaml("x: [{a::b: 1}]");
        assert!(listed.get("x").unwrap().as_seq().unwrap()[0].get("a::b").is_some());
    }
}
