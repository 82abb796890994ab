//! Views of what all signals share: resources, scopes, attributes and their values.

use crate::wire::{FieldValue, Fields};

/// The key-value pairs of one field of a message, in order. An iterator that starts anew where it is copied.
#[derive(Debug, Clone, Copy)]
pub struct KeyValues<'a> {
    fields: Fields<'a>,
    number: u32,
}

impl<'a> KeyValues<'a> {
    /// The pairs in field `number` of `message`.
    #[inline]
    pub(crate) fn new(message: &'a [u8], number: u32) -> Self {
        Self { fields: Fields::new(message), number }
    }

    /// The pairs in field `number` of `message`, the first of which stands at `at`.
    #[inline]
    pub(crate) fn starting_at(message: &'a [u8], at: usize, number: u32) -> Self {
        Self { fields: Fields::starting_at(message, at), number }
    }

    /// What is left of the message, and the number of the fields that are pairs.
    #[inline]
    pub(crate) fn into_message(self) -> (&'a [u8], u32) {
        (self.fields.rest(), self.number)
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        let number = self.number;
        !self.fields.clone().any(|(other, _)| other == number)
    }

    /// The value of the first pair with this key, as upstream's maps give it.
    pub fn get(mut self, key: &str) -> Option<AnyValueView<'a>> {
        self.find(|pair| pair.key == key).map(|pair| pair.value)
    }
}

impl<'a> Iterator for KeyValues<'a> {
    type Item = KeyValueView<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (number, value) = self.fields.next()?;
            if let (true, FieldValue::Len(pair)) = (number == self.number, value) {
                return Some(KeyValueView::parse(pair));
            }
        }
    }
}

/// An attribute.
#[derive(Debug, Clone, Copy)]
pub struct KeyValueView<'a> {
    /// Its name.
    pub key: &'a str,
    /// Its value.
    pub value: AnyValueView<'a>,
    /// The encoded message, to be copied as it is.
    pub(crate) encoded: &'a [u8],
}

impl<'a> KeyValueView<'a> {
    #[inline]
    pub(crate) fn parse(pair: &'a [u8]) -> Self {
        Self::parse_short(pair).unwrap_or_else(|| Self::parse_any(pair))
    }

    /// Nearly all attributes: a key and a text, each of less than 126 bytes, in order.
    #[inline]
    fn parse_short(pair: &'a [u8]) -> Option<Self> {
        let [0x0a, key_len @ 0..=0x7f, rest @ ..] = pair else { return None };
        let (key, rest) = rest.split_at_checked(usize::from(*key_len))?;
        let [0x12, value_len @ 0..=0x7f, 0x0a, text_len @ 0..=0x7f, text @ ..] = rest else { return None };
        if text.len() != usize::from(*text_len) || text.len() + 2 != usize::from(*value_len) {
            return None;
        }
        let text = |bytes: &'a [u8]| FieldValue::Len(bytes).text();
        Some(Self { key: text(key), value: AnyValueView::String(text(rest.get(4..)?)), encoded: pair })
    }

    fn parse_any(pair: &'a [u8]) -> Self {
        let mut view = Self { key: "", value: AnyValueView::Empty, encoded: pair };
        for (number, value) in Fields::new(pair) {
            match number {
                1 => view.key = value.text(),
                2 => view.value = AnyValueView::parse(value.bytes()),
                _ => {}
            }
        }
        view
    }
}

/// The value of an attribute or the body of a log record.
#[derive(Debug, Clone, Copy)]
pub enum AnyValueView<'a> {
    /// Nothing is set.
    Empty,
    /// Text.
    String(&'a str),
    /// True or false.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Double(f64),
    /// A list of values.
    Array(ArrayView<'a>),
    /// A map; keys may repeat on the wire.
    KeyValues(KeyValues<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl<'a> AnyValueView<'a> {
    #[inline]
    pub(crate) fn parse(message: &'a [u8]) -> Self {
        let mut view = Self::Empty;
        for (number, value) in Fields::new(message) {
            view = match number {
                1 => Self::String(value.text()),
                2 => Self::Bool(value.number() != 0),
                3 => Self::Int(value.number() as i64),
                4 => Self::Double(value.double()),
                5 => Self::Array(ArrayView { message: value.bytes() }),
                6 => Self::KeyValues(KeyValues::new(value.bytes(), 1)),
                7 => Self::Bytes(value.bytes()),
                _ => view,
            };
        }
        view
    }

    /// The text of a string value.
    #[inline]
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

/// A list of values.
#[derive(Debug, Clone, Copy)]
pub struct ArrayView<'a> {
    message: &'a [u8],
}

impl<'a> ArrayView<'a> {
    /// The values, in order.
    pub fn values(self) -> impl Iterator<Item = AnyValueView<'a>> {
        Fields::new(self.message)
            .filter(|(number, _)| *number == 1)
            .map(|(_, value)| AnyValueView::parse(value.bytes()))
    }
}

/// What telemetry is about.
#[derive(Debug, Clone, Copy)]
pub struct ResourceView<'a> {
    pub(crate) message: &'a [u8],
}

impl<'a> ResourceView<'a> {
    /// The attributes, in order.
    #[inline]
    pub fn attributes(self) -> KeyValues<'a> {
        KeyValues::new(self.message, 1)
    }

    /// How many attributes were dropped before arrival.
    pub fn dropped_attributes_count(self) -> u32 {
        Fields::new(self.message).filter(|(number, _)| *number == 2).map(|(_, v)| v.number() as u32).sum()
    }
}

/// The instrumentation scope.
#[derive(Debug, Clone, Copy)]
pub struct ScopeView<'a> {
    /// Its name; empty if not said.
    pub name: &'a str,
    /// Its version; empty if not said.
    pub version: &'a str,
    /// How many attributes were dropped before arrival.
    pub dropped_attributes_count: u32,
    message: &'a [u8],
}

impl<'a> ScopeView<'a> {
    #[inline]
    pub(crate) fn parse(message: &'a [u8]) -> Self {
        let mut view = Self { name: "", version: "", dropped_attributes_count: 0, message };
        for (number, value) in Fields::new(message) {
            match number {
                1 => view.name = value.text(),
                2 => view.version = value.text(),
                4 => view.dropped_attributes_count = value.number() as u32,
                _ => {}
            }
        }
        view
    }

    /// The attributes, in order.
    pub fn attributes(self) -> KeyValues<'a> {
        KeyValues::new(self.message, 3)
    }
}

/// Declares the three levels of views that all signals have alike: resource entry, scope entry, item.
macro_rules! envelope {
    ($resource_view:ident, $scope_view:ident, $items:ident, $item:ty, $what:literal) => {
        #[doc = concat!("The ", $what, " of one resource.")]
        #[derive(Debug, Clone, Copy)]
        pub struct $resource_view<'a> {
            entry: $crate::batch::Entry<'a>,
        }

        impl<'a> $resource_view<'a> {
            /// A view of one entry of a batch of this signal. Of another signal's, text would not be checked.
            #[inline]
            fn new(entry: $crate::batch::Entry<'a>) -> Self {
                Self { entry }
            }

            /// What they are about.
            #[inline]
            pub fn resource(&self) -> $crate::ResourceView<'a> {
                $crate::ResourceView { message: self.entry.resource.unwrap_or_default() }
            }

            #[doc = concat!("The ", $what, ", by instrumentation scope.")]
            #[inline]
            pub fn scopes(&self) -> impl Iterator<Item = $scope_view<'a>> + use<'a> {
                $crate::wire::Fields::new(self.entry.body)
                    .filter(|(number, _)| *number == 2)
                    .map(|(_, value)| $scope_view { message: value.bytes() })
            }

            /// The schema URL of the resource; empty if not said.
            pub fn schema_url(&self) -> &'a str {
                $crate::common::text_field(self.entry.body, 3)
            }
        }

        #[doc = concat!("The ", $what, " of one instrumentation scope.")]
        #[derive(Debug, Clone, Copy)]
        pub struct $scope_view<'a> {
            message: &'a [u8],
        }

        impl<'a> $scope_view<'a> {
            /// The scope.
            #[inline]
            pub fn scope(&self) -> $crate::ScopeView<'a> {
                $crate::ScopeView::parse($crate::common::message_field(self.message, 1))
            }

            #[doc = concat!("The ", $what, ", in order.")]
            #[inline]
            pub fn $items(&self) -> impl Iterator<Item = $item> + use<'a> {
                $crate::wire::Fields::new(self.message)
                    .filter(|(number, _)| *number == 2)
                    .map(|(_, value)| <$item>::parse(value.bytes()))
            }

            /// The schema URL of the scope; empty if not said.
            pub fn schema_url(&self) -> &'a str {
                $crate::common::text_field(self.message, 3)
            }
        }
    };
}
pub(crate) use envelope;

/// The body of a singular message field; empty if not set.
#[inline]
pub(crate) fn message_field(message: &[u8], number: u32) -> &[u8] {
    Fields::new(message).find(|(field, _)| *field == number).map_or(&[], |(_, value)| value.bytes())
}

/// A singular string field; empty if not set.
#[inline]
pub(crate) fn text_field(message: &[u8], number: u32) -> &str {
    Fields::new(message).find(|(field, _)| *field == number).map_or("", |(_, value)| value.text())
}
