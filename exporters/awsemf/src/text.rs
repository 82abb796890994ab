//! Text that is borrowed from a batch or made during a translation.

use std::ops::Range;

/// Where a text is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text<'a> {
    /// In the batch, or constant.
    Borrowed(&'a str),
    /// In the arena of the translation.
    Made { start: usize, end: usize },
    /// An attribute without a value, which reads as empty text.
    Unset,
}

impl<'a> Text<'a> {
    /// What `write` appends to the arena.
    pub(crate) fn make(arena: &mut String, write: impl FnOnce(&mut String)) -> Text<'a> {
        let start = arena.len();
        write(arena);
        Text::Made { start, end: arena.len() }
    }

    /// Its length in bytes.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Borrowed(text) => text.len(),
            Self::Made { start, end } => end - start,
            Self::Unset => 0,
        }
    }

    /// The text itself.
    #[inline]
    pub(crate) fn get<'t>(self, arena: &'t str) -> &'t str
    where
        'a: 't,
    {
        match self {
            Self::Borrowed(text) => text,
            Self::Made { start, end } => arena.get(start..end).unwrap_or_default(),
            Self::Unset => "",
        }
    }
}

/// A part of a list, as places that survive the list's growth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn of<T>(self, list: &[T]) -> &[T] {
        list.get(Range::from(self)).unwrap_or_default()
    }
}

impl From<Span> for Range<usize> {
    fn from(span: Span) -> Self {
        span.start..span.end
    }
}

/// Whether two short texts are equal. In place, eight bytes at a time: for names a call costs more than the comparison.
#[inline]
pub(crate) fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        // The last eight bytes overlap those before them.
        (Some(last), Some(other)) => {
            let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
            let same = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b);
            last == other && a.iter().zip(b).all(same)
        }
        _ => a.iter().zip(b).all(|(a, b)| a == b),
    }
}

/// Empties a list and keeps its memory for items of another lifetime.
pub(crate) fn recycle<From, To>(mut list: Vec<From>) -> Vec<To> {
    list.clear();
    // Collecting in place: the standard library reuses the allocation when the items have the same layout.
    list.into_iter().filter_map(|_| None).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_in_full() {
        let text = "0123456789abcdefghij";
        for len in 0..=text.len() {
            let one = &text[..len];
            assert!(same(one, one), "{one}");
            assert!(!same(one, &format!("{one}x")), "{one}");
            for at in 0..len {
                let mut other = one.to_owned();
                other.replace_range(at..=at, "x");
                assert!(!same(one, &other), "{one} {other}");
            }
        }
    }

    #[test]
    fn memory_survives_a_change_of_lifetime() {
        let mut list: Vec<Text<'static>> = Vec::with_capacity(100);
        list.push(Text::Borrowed("x"));
        let owned = String::from("y");
        let mut again: Vec<Text<'_>> = recycle(list);
        assert_eq!((again.len(), again.capacity()), (0, 100));
        again.push(Text::Borrowed(&owned));
        assert_eq!(again[0].get(""), "y");
    }
}
